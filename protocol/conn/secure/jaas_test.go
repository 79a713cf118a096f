package secure

import (
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const modules = "org.apache.kafka.common.security."

func TestAJAASLineGivesWhatItsModuleKnows(t *testing.T) {
	t.Setenv("SPOOLD_TEST", "from the environment")
	for _, tt := range []struct{ mechanism, line, want string }{
		{"PLAIN", modules + `plain.PlainLoginModule required username="alice" password="a \"b\" \\c;=";`, `alice|a "b" \c;=`},
		{"PLAIN", modules + "plain.PlainLoginModule  required\n\tusername = alice\n\tpassword = \"secret\" ;", "alice|secret"},
		{"PLAIN", modules + `plain.PlainLoginModule required username=alice password=${env:SPOOLD_TEST};`, "alice|${env:SPOOLD_TEST}"},
		{"PLAIN", modules + `plain.PlainLoginModule required username='alice' password='it\'s "so"; 1';`, `alice|it's "so"; 1`},
		{"SCRAM-SHA-512", modules + `scram.ScramLoginModule REQUIRED username="u" password="p" tokenauth="true";`, "u|p|tokenauth"},
		{"OAUTHBEARER", modules + `oauthbearer.OAuthBearerLoginModule required clientId="i" clientSecret="s" scope="a b" extension_x="y";`, "i|s|a b|x=y"},
		{"OAUTHBEARER", modules + `oauthbearer.OAuthBearerLoginModule required unsecuredLoginStringClaim_sub="alice" unsecuredLoginLifetimeSeconds="60";`, "sub=alice|1m0s"},
	} {
		s, err := SASL{Mechanism: tt.mechanism, JAAS: tt.line}.resolved(&files{})
		if err != nil {
			t.Errorf("%s: %v", tt.line, err)
			continue
		}
		var got []string
		for _, text := range []string{s.Username, s.Password, s.Token.ClientID, s.Token.Secret, s.Token.Scope} {
			if text != "" {
				got = append(got, text)
			}
		}
		if s.TokenAuth {
			got = append(got, "tokenauth")
		}
		for _, m := range []map[string]string{s.Token.Extensions, s.Token.Claims} {
			for _, k := range slices.Sorted(maps.Keys(m)) {
				got = append(got, k+"="+m[k])
			}
		}
		if s.Token.Lifetime != 0 {
			got = append(got, s.Token.Lifetime.String())
		}
		if text := strings.Join(got, "|"); text != tt.want {
			t.Errorf("%s: %s, want %s", tt.line, text, tt.want)
		}
	}
}

func TestAJAASLineThatIsWrongIsRefusedWithoutItsSecrets(t *testing.T) {
	for line, want := range map[string]string{
		";":                             "must be a login module",
		"x;":                            "must be a login module",
		`=a required;`:                  "must be a login module",
		`m needed password="hunter2";`:  "must stand required",
		`m required password="hunter2"`: "semicolon",
		`m required password="hunter2;`: "quotation mark",
		`m required "hunter2";`:         "quotation mark",
		`m required hunter2;`:           "name=",
		`m required a="hunter2" a="b";`: "option a twice",
		`m required a="b"; n required password="hunter2";`:                          "one login module",
		`com.example.Own required password="hunter2";`:                              "com.example.Own",
		`com.sun.security.auth.module.Krb5LoginModule required;`:                    "Kerberos",
		`software.amazon.msk.auth.iam.IAMLoginModule required;`:                     "AWS_MSK_IAM",
		modules + `plain.PlainLoginModule required username="a" pasword="hunter2";`: "option pasword",
		modules + `oauthbearer.OAuthBearerLoginModule required clientId="hunter2";`: "not for sasl.mechanism PLAIN",
	} {
		_, err := SASL{Mechanism: "PLAIN", JAAS: line}.resolved(&files{})
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%q: %v, want %q", line, err, want)
		}
	}
}

// Law: a line is refused or read, and what was read, written again with every value quoted, reads as the same.
func FuzzAJAASLineReadsTheSameWhenItIsWrittenAgain(f *testing.F) {
	f.Add(`a.b.C required x="y" z=1;`)
	f.Add("m required a=\"\\\"\\\\\";")
	f.Add(`m optional  = ; `)
	f.Add(`m required ="x";`)
	f.Fuzz(func(t *testing.T, line string) {
		j, err := ParseJAAS(line)
		if err != nil {
			return
		}
		var out strings.Builder
		out.WriteString(j.Module + " required")
		for _, name := range slices.Sorted(maps.Keys(j.Options)) {
			value := strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(j.Options[name])
			out.WriteString(" " + name + `="` + value + `"`)
		}
		again, err := ParseJAAS(out.String() + ";")
		if err != nil || again.Module != j.Module || !maps.Equal(again.Options, j.Options) {
			t.Fatalf("%s is read as %+v, and written again as %s, which is %+v, %v", strconv.Quote(line), j, out.String(), again, err)
		}
	})
}
