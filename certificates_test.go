package spoold_test

import (
	"slices"
	"testing"
	"time"

	"github.com/spoold/spoold"
)

const day = 24 * time.Hour

func TestACertificateExpiresSoonInTheLastQuarterOfItsLifetimeAndWithinThirtyDays(t *testing.T) {
	now := time.Date(2026, 11, 30, 0, 0, 0, 0, time.UTC)
	for _, tt := range []struct {
		lifetime, left time.Duration
		want           bool
	}{
		{365 * day, 31 * day, false}, {365 * day, 29 * day, true}, {365 * day, -day, true},
		{90 * day, 29 * day, false}, {90 * day, 22 * day, true}, // renewed when 30 days are left
		{day, 7 * time.Hour, false}, {day, 5 * time.Hour, true}, {day, -time.Hour, true},
	} {
		c := spoold.Certificate{NotBefore: now.Add(tt.left - tt.lifetime), NotAfter: now.Add(tt.left)}
		if got := c.ExpiresSoon(now); got != tt.want {
			t.Errorf("a certificate for %v with %v left: ExpiresSoon = %v", tt.lifetime, tt.left, got)
		}
	}
}

func TestOneCertificateOfEachKeyIsTheOneThatExpires(t *testing.T) {
	now := time.Now()
	own := func(left time.Duration) spoold.Certificate {
		return spoold.Certificate{Key: "own", NotAfter: now.Add(left)}
	}
	authority := func(left time.Duration) spoold.Certificate {
		return spoold.Certificate{Key: "ca", NotAfter: now.Add(left), Authority: true}
	}
	for _, tt := range []struct{ certs, want []spoold.Certificate }{
		{nil, nil},
		{[]spoold.Certificate{own(2), own(1), authority(2 * day), authority(-day), authority(day), own(3)}, []spoold.Certificate{own(1), authority(day)}},
		{[]spoold.Certificate{own(day), own(-day)}, []spoold.Certificate{own(-day)}},
		{[]spoold.Certificate{authority(-3 * day), authority(-day), authority(-2 * day)}, []spoold.Certificate{authority(-day)}},
		{[]spoold.Certificate{authority(-3 * day), authority(day)}, []spoold.Certificate{authority(day)}},
	} {
		if got := spoold.Expiring(tt.certs, now); !slices.Equal(got, tt.want) {
			t.Errorf("Expiring(%v) = %v, want %v", tt.certs, got, tt.want)
		}
	}
}
