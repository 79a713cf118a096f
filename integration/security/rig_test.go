//go:build kafka

package security_test

import (
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"

	"github.com/spoold/spoold"
	"github.com/spoold/spoold/integration/kafka"
	"github.com/spoold/spoold/integration/pki"
)

const patience = 60 * time.Second

// rig is a cluster whose clients must be secure, and the files that they need.
type rig struct {
	*kafka.Cluster
	t   *testing.T
	dir string
	ca  *pki.Authority
}

const (
	plainModule = "org.apache.kafka.common.security.plain.PlainLoginModule"
	scramModule = "org.apache.kafka.common.security.scram.ScramLoginModule"
	oauthModule = "org.apache.kafka.common.security.oauthbearer.OAuthBearerLoginModule"
)

// run starts a cluster with a listener of the given protocol. Brokers among each other, and the test's own admin client, use
// another listener, and are super users.
func run(t *testing.T, version, protocol string, props map[string]string, change ...func(*kafka.Options)) *rig {
	t.Helper()
	r := &rig{t: t, dir: t.TempDir(), ca: pki.New(t, "authority of the test")}
	own := r.ca.Issue(t, "broker", time.Hour, "127.0.0.1", "localhost")
	r.file("broker.pem", string(own.KeyPEM)+string(own.CertPEM))
	r.file("ca.pem", string(r.ca.PEM))
	all := map[string]string{
		"listener.security.protocol.map": "CLIENT:" + protocol + ",BROKER:PLAINTEXT,CONTROLLER:PLAINTEXT",
		"authorizer.class.name":          "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
		"super.users":                    "User:ANONYMOUS",
		"ssl.keystore.type":              "PEM", "ssl.keystore.location": r.path("broker.pem"),
		"ssl.truststore.type": "PEM", "ssl.truststore.location": r.path("ca.pem"),
		"listener.name.client.sasl.enabled.mechanisms":               "PLAIN,SCRAM-SHA-256,SCRAM-SHA-512,OAUTHBEARER",
		"listener.name.client.plain.sasl.jaas.config":                plainModule + ` required user_alice="alice-secret" user_bob="bob-secret";`,
		"listener.name.client.scram-sha-256.sasl.jaas.config":        scramModule + " required;",
		"listener.name.client.scram-sha-512.sasl.jaas.config":        scramModule + " required;",
		"listener.name.client.oauthbearer.sasl.jaas.config":          oauthModule + ` required unsecuredLoginStringClaim_sub="broker";`,
		"listener.name.client.oauthbearer.connections.max.reauth.ms": "60000",
	}
	maps.Copy(all, props)
	o := kafka.Options{Version: version, Props: all, FormatArgs: []string{
		"--add-scram", "SCRAM-SHA-256=[name=alice,password=alice-secret]",
		"--add-scram", "SCRAM-SHA-512=[name=alice,password=alice-secret]",
	}}
	for _, f := range change {
		f(&o)
	}
	r.Cluster = kafka.Run(t, o)
	r.allow("alice")
	return r
}

func (r *rig) path(name string) string { return filepath.Join(r.dir, name) }

// file writes a file at once, as a tool that renews certificates does.
func (r *rig) file(name, text string) string {
	r.t.Helper()
	if err := os.WriteFile(r.path(name+".new"), []byte(text), 0o600); err != nil {
		r.t.Fatal(err)
	}
	if err := os.Rename(r.path(name+".new"), r.path(name)); err != nil {
		r.t.Fatal(err)
	}
	return r.path(name)
}

// allow gives a user what it needs to deliver.
func (r *rig) allow(user string) {
	r.t.Helper()
	b := kadm.NewACLs().Topics("*").ResourcePatternType(kadm.ACLPatternLiteral).
		Operations(kadm.OpWrite, kadm.OpRead, kadm.OpDescribe, kadm.OpCreate).Allow("User:" + user).AllowHosts("*")
	if _, err := r.Admin().CreateACLs(r.t.Context(), b); err != nil {
		r.t.Fatal(err)
	}
}

func (r *rig) disallow(user string) {
	r.t.Helper()
	b := kadm.NewACLs().Topics("*").ResourcePatternType(kadm.ACLPatternLiteral).
		Operations(kadm.OpAny).Allow("User:" + user).AllowHosts("*")
	if _, err := r.Admin().DeleteACLs(r.t.Context(), b); err != nil {
		r.t.Fatal(err)
	}
}

func (r *rig) scram(user, password string) {
	r.t.Helper()
	_, err := r.Admin().AlterUserSCRAMs(r.t.Context(), nil, []kadm.UpsertSCRAM{
		{User: user, Mechanism: kadm.ScramSha256, Iterations: 4096, Password: password}})
	if err != nil {
		r.t.Fatal(err)
	}
}

func (r *rig) noScram(user string) {
	r.t.Helper()
	_, err := r.Admin().AlterUserSCRAMs(r.t.Context(), []kadm.DeleteSCRAM{{User: user, Mechanism: kadm.ScramSha256}}, nil)
	if err != nil {
		r.t.Fatal(err)
	}
}

// config is one for this cluster, on a spool of its own.
func (r *rig) config(set map[string]string) spoold.Config {
	r.t.Helper()
	cfg := spoold.DefaultConfig()
	all := map[string]string{"bootstrap.servers": r.Bootstrap(), "spool.path": r.t.TempDir(), "spool.min.free.bytes": "1MiB", "metadata.max.age.ms": "2000"}
	maps.Copy(all, set)
	for k, v := range all {
		if err := cfg.Set(k, v); err != nil {
			r.t.Fatal(err)
		}
	}
	return cfg
}

// producer is open until the test ends.
type producer struct {
	*spoold.Producer
	t *testing.T
	n int
}

func open(t *testing.T, cfg spoold.Config, env spoold.Env) *producer {
	t.Helper()
	p, err := spoold.Open(cfg, env)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		if err := p.Close(ctx); err != nil && p.Err() == nil {
			t.Errorf("close: %v", err)
		}
	})
	return &producer{Producer: p, t: t}
}

// send spools records v<n>….
func (p *producer) send(topic string, n int) {
	p.t.Helper()
	b := spoold.Batch{}
	for range n {
		b.Records = append(b.Records, spoold.Record{Topic: topic, Key: []byte("k"), Value: fmt.Appendf(nil, "v%d", p.n)})
		p.n++
	}
	ds, err := p.SendBatch(p.t.Context(), b)
	if err == nil {
		err = ds.Spooled(p.t.Context())
	}
	if err != nil {
		p.t.Fatal(err)
	}
}

func (p *producer) drained() {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.t.Context(), patience)
	defer cancel()
	if err := p.Flush(ctx); err != nil {
		p.t.Fatalf("flush: %v; status: %+v", err, p.Status())
	}
}

// comes waits until the status is as wanted.
func (p *producer) comes(what string, cond func(*spoold.Status) bool) {
	p.t.Helper()
	deadline := time.After(patience)
	for {
		st := p.Status()
		if cond(st) {
			return
		}
		select {
		case <-deadline:
			p.t.Fatalf("%s never came to pass: %+v", what, st)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// down waits until the link is down for a reason that holds all the words, and checks that the records are there still.
func (p *producer) down(words ...string) {
	p.t.Helper()
	p.comes("link down because of "+strings.Join(words, " … "), func(st *spoold.Status) bool {
		for _, w := range words {
			if !strings.Contains(st.LinkError, w) {
				return false
			}
		}
		return st.Link == "down"
	})
	if st := p.Status(); st.Pending == 0 || st.DeadLettered > 0 {
		p.t.Errorf("%d records pending, %d dead-lettered", st.Pending, st.DeadLettered)
	}
}

// expect reads the topic and wants v0 … v(n-1), once, in order.
func (r *rig) expect(topic string, n int) {
	r.t.Helper()
	found, err := r.ReadAll(r.t.Context(), topic)
	if err != nil {
		r.t.Fatal(err)
	}
	i := 0
	for _, list := range found {
		for _, rec := range list {
			if want := fmt.Sprintf("v%d", i); string(rec.Value) != want {
				r.t.Fatalf("%s: record %d is %q, want %q", topic, i, rec.Value, want)
			}
			i++
		}
	}
	if i != n {
		r.t.Errorf("%s holds %d records, want %d", topic, i, n)
	}
}
