package secure

import (
	"context"
	"crypto/tls"
	"sync"
	"time"

	"github.com/spoold/spoold/protocol/conn"
)

// Settings are how a client is protected.
type Settings struct {
	TLS  *TLS           // nil: not encrypted
	SASL *SASL          // nil: not authenticated
	Own  conn.Mechanism // the program's, in place of SASL
}

// Keeper gives each connection what it needs, from files as they are then. Its methods may be called from any goroutine.
type Keeper struct {
	mu    sync.Mutex
	files *files
	set   Settings
	sasl  conn.Mechanism
	tls   *tls.Config
	trust conn.Trust // of tls
	stamp uint64     // of the files, when tls was made of them
	era   uint64     // how often Use was called

	certificates []Certificate // of lookedEra, when files had lookedStamp
	lookedEra    uint64
	lookedStamp  uint64
	looked       time.Time
}

// New reads all files once. The error is a *KeyError.
func New(s Settings) (*Keeper, error) {
	k := &Keeper{}
	return k, k.Use(s)
}

// Use replaces the settings, for connections to come. If they cannot be used, the former ones stay.
func (k *Keeper) Use(s Settings) error {
	f := &files{}
	var c *tls.Config
	var trust conn.Trust
	if s.TLS != nil {
		var err error
		if c, trust, err = s.TLS.settings(f); err != nil {
			return err
		}
		c.ClientSessionCache = nil // a session would outlive the certificates that were looked at
	}
	m := s.Own
	if m == nil && s.SASL != nil {
		own := &mechanism{s: *s.SASL, files: f}
		if err := own.try(); err != nil {
			return err
		}
		m = own
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.files, k.set, k.sasl, k.tls, k.trust, k.stamp = f, s, m, c, trust, f.stamp()
	k.era++
	return nil
}

// Security is for the next connection.
func (k *Keeper) Security(context.Context) (conn.Security, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.set.TLS == nil {
		return conn.Security{SASL: k.sasl}, nil
	}
	if now := k.files.stamp(); now != k.stamp {
		c, trust, err := k.set.TLS.settings(k.files)
		if err != nil {
			return conn.Security{}, err
		}
		k.tls, k.trust, k.stamp = c, trust, now
	}
	return conn.Security{TLS: k.tls, Trust: k.trust, SASL: k.sasl}, nil
}

// Stamp is a number that changes when anything changes that connections are protected with: who waits after a refusal
// need not wait any longer then.
func (k *Keeper) Stamp() uint64 {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.files.stamp() + k.era*0x9E3779B97F4A7C15
}
