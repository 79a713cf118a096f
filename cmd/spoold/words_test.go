package main

import (
	"bytes"
	"slices"
	"strings"
	"testing"
)

func TestAnUnknownVariableIsAFaultUnlessSomethingElseSetsIt(t *testing.T) {
	environ := []string{
		"SPOOLD_LINGERMS=3", "SPOOLD_NOTHING_LIKE_IT=1", "SPOOLD_HTTP_PORT=8082", "SPOOLD_KAFKA_LINGER_MS=1", "SPOOLD_TOPIC=t",
		// These are known.
		"SPOOLD_LINGER_MS=3", "SPOOLD_QUEUE_BUFFERING_MAX_MS=", "SPOOLD_DEBUG=all", "SPOOLD_ADMIN_TOKEN=x", "SPOOLD_LINK=x", "SPOOLD_TEST_WALL_CLOCK=x",
		"SPOOLD_EMPTY=", "HOME=/root", "SPOOLD_KAFKA_SECRET=x", "SPOOLD_OTHER_SECRET=x",
		// What Kubernetes and Docker set for services with the names spoold and spoold-http.
		"SPOOLD_SERVICE_HOST=10.0.0.1", "SPOOLD_SERVICE_PORT=8082", "SPOOLD_SERVICE_PORT_HTTP=8082", "SPOOLD_PORT=tcp://10.0.0.1:8082",
		"SPOOLD_PORT_8082_TCP=tcp://10.0.0.1:8082", "SPOOLD_PORT_8082_TCP_ADDR=10.0.0.1", "SPOOLD_PORT_8082_TCP_PORT=8082", "SPOOLD_PORT_8082_TCP_PROTO=tcp",
		"SPOOLD_HTTP_SERVICE_HOST=10.0.0.1", "SPOOLD_HTTP_PORT_80_UDP_ADDR=10.0.0.1",
	}
	lookup := func(name string) string {
		for _, pair := range environ {
			if key, value, _ := strings.Cut(pair, "="); key == name {
				return value
			}
		}
		return ""
	}
	s := newSettings()
	s.environment(lookup)
	s.layer(false)
	s.set("sasl.password", "${env:SPOOLD_KAFKA_SECRET}", "-X sasl.password")
	s.set("sasl.jaas.config", `Plain required username=a password="${env:SPOOLD_OTHER_SECRET}";`, "-X sasl.jaas.config")
	s.checkEnvironment(lookup, environ)
	var got []string
	for _, err := range append(s.faults, s.strays...) {
		got = append(got, err.Error())
	}
	const other = "unknown environment variable: one that begins with SPOOLD_ sets a key, as SPOOLD_LINGER_MS sets linger.ms; give another one a name that does not begin so"
	want := []string{
		"SPOOLD_HTTP_PORT: unknown environment variable; did you mean SPOOLD_HTTP_USERS?",
		"SPOOLD_KAFKA_LINGER_MS: unknown environment variable; did you mean SPOOLD_LINGER_MS?",
		"SPOOLD_LINGERMS: unknown environment variable; did you mean SPOOLD_LINGER_MS?",
		"SPOOLD_NOTHING_LIKE_IT: " + other,
		"SPOOLD_TOPIC: " + other,
	}
	if !slices.Equal(got, want) {
		t.Errorf("faults:\n%s\nwant:\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if got, _ := s.get("linger.ms"); got != "3" || len(s.warnings()) != 2 || !strings.Contains(s.warnings()[0], "debug is ignored") {
		t.Errorf("linger.ms is %s, warnings are %q", got, s.warnings())
	}
}

func TestOpenListenerIsRefusedWithTheAddressThatWasGiven(t *testing.T) {
	s := newSettings()
	s.layer(false)
	s.set("http.listen", "0.0.0.0:18083", "--http")
	errs := s.validateAccess()
	if len(errs) != 1 || !strings.Contains(errs[0].Error(), "http.listen 0.0.0.0:18083 can be reached") {
		t.Errorf("validateAccess: %v", errs)
	}
}

func TestFlushCountsNothingOfSpoolsThatCannotBeRead(t *testing.T) {
	for _, c := range []struct {
		sum  flushed
		want string
	}{
		{flushed{}, "nothing is pending"},
		{flushed{Spools: 1, Acked: 305638}, "305,638 records acked, 0 pending in 1 spool"},
		{flushed{Unreadable: 1}, "nothing was delivered; 1 spool cannot be looked into: what is pending there is not known"},
	} {
		if got := c.sum.line(); got != c.want {
			t.Errorf("%+v: %q, want %q", c.sum, got, c.want)
		}
	}
}

// Secrets have keys of their own, but an address can have one in it, too.
func TestAddressesAreShownWithoutTheirCredentials(t *testing.T) {
	t.Parallel()
	for value, want := range map[string]string{
		"http://user:planted@host:4318/v1":                  "http://user:[hidden]@host:4318/v1",
		"https://idp/token?client_secret=planted&scope=a#b": "https://idp/token?client_secret=[hidden]&scope=a#b",
		"https://idp/token?scope=a&sig=planted":             "https://idp/token?scope=a&sig=[hidden]",
		"https://host:4318/a@b?monkeys=3":                   "https://host:4318/a@b?monkeys=[hidden]",
		"unix:/run/a:b@c":                                   "unix:/run/a:b@c",
	} {
		if got := withoutCredentials(value); got != want {
			t.Errorf("%s is shown as %s, want %s", value, got, want)
		}
	}
	code, out, errs := run(t, "", "config", "print", "-X", "otel.exporter.otlp.endpoint=http://user:planted@host:4318",
		"-X", "sasl.oauthbearer.token.endpoint.url=https://id:planted@idp/token?client_secret=planted")
	if strings.Contains(out+errs, "planted") || !strings.Contains(out, "user:[hidden]@host:4318") {
		t.Errorf("config print: code %d\n%s%s", code, out, errs)
	}
}

// A bar of a total that is not known once ended with "8/-", and left that on the terminal.
func TestProgressShowsNoTotalAndLeavesNothing(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	bar := newBar(&out)
	for range 3 {
		bar.Describe("8 spooled, 7 acked")
		if err := bar.Add(1); err != nil {
			t.Fatal(err)
		}
	}
	if err := bar.Finish(); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(out.String(), "\r")
	if text := out.String(); !strings.Contains(text, "8 spooled, 7 acked") || strings.Contains(text, "/-") || strings.Contains(text, "%") || strings.TrimSpace(lines[len(lines)-1]) != "" {
		t.Errorf("written: %q", text)
	}
}
