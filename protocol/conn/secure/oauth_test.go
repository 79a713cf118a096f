package secure

import (
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// A token endpoint whose certificate comes from an authority of one's own is trusted by that authority's certificate, in a
// file or as text.
func TestATokenEndpointIsTrustedByItsAuthority(t *testing.T) {
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprint(w, `{"access_token":"token","expires_in":3600}`)
	}))
	defer server.Close()
	text := string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}))
	file := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name string
		set  OAuth
		want string // of the error
	}{
		{"as text", OAuth{Certificates: text}, ""},
		{"as text from a file", OAuth{Certificates: "${file:" + file + "}"}, ""},
		{"a file", OAuth{Authority: Store{Location: file}}, ""},
		{"the system's", OAuth{}, "give the certificate of the authority that has issued the endpoint's with https.ca.location"},
		{"no certificate", OAuth{Certificates: "none"}, "https.ca.pem"},
		{"no file", OAuth{Authority: Store{Location: file + "x"}}, "https.ca.location"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tt.set.URL, tt.set.ClientID, tt.set.Secret, tt.set.Timeout = server.URL, "id", "secret", 10*time.Second
			m := &mechanism{s: SASL{Mechanism: "OAUTHBEARER", Token: tt.set}, files: &files{}}
			_, _, err := m.Authenticate(t.Context(), "host")
			if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
				t.Errorf("%v, want %q", err, tt.want)
			}
		})
	}
}

// The address of a token endpoint may hold a secret; what is said of one that does not answer has none.
func TestATokenEndpointThatIsAwayIsNamedWithoutItsSecrets(t *testing.T) {
	server := httptest.NewServer(http.NotFoundHandler())
	address := strings.Replace(server.URL, "http://", "http://id:planted@", 1) + "/token?client_secret=planted"
	server.Close()
	m := &mechanism{s: SASL{Mechanism: "OAUTHBEARER", Token: OAuth{URL: address, ClientID: "id", Secret: "planted", Timeout: time.Second}}, files: &files{}}
	_, _, err := m.Authenticate(t.Context(), "host")
	if err == nil || strings.Contains(err.Error(), "planted") || !strings.Contains(err.Error(), "/token gives no token") || !strings.Contains(err.Error(), "refused") {
		t.Errorf("%v", err)
	}
}
