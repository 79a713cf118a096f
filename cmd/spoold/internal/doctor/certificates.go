package doctor

import (
	"fmt"
	"time"

	"github.com/spoold/spoold"
)

// Certificates judges those that the configuration names, one finding for each key.
func Certificates(r *Report, certs []spoold.Certificate, now time.Time) {
	for _, c := range spoold.Expiring(certs, now) {
		do := "put a renewed one in its place; it is in force without a restart"
		what := "the certificate"
		if c.Authority {
			do, what = "put the authority's new certificate beside it, before what it has issued stops being trusted", "the authority's certificate"
		}
		if !valid(r, c.Key, what, do, &c, now) || !c.Authority {
			continue
		}
		if over := expired(certs, c.Key, now); over > 0 {
			r.warn(c.Key, fmt.Sprintf("of the authorities' certificates there, %d %s expired", over, has(over)), "take out what has expired, once nothing needs it")
		}
	}
}

// shown judges what a broker shows.
func shown(r *Report, check string, certs []spoold.Certificate, now time.Time) {
	for _, c := range spoold.Expiring(certs, now) {
		if c.ExpiresSoon(now) {
			valid(r, check, "its certificate", "it has to be renewed at the broker: records wait here once it has expired", &c, now)
		}
	}
}

// valid adds the finding about one certificate, and reports whether it is good for a while.
func valid(r *Report, check, what, do string, c *spoold.Certificate, now time.Time) bool {
	what = fmt.Sprintf("%s (%s)", what, c.Subject)
	day := c.NotAfter.UTC().Format(time.DateOnly)
	left := count(int(c.NotAfter.Sub(now)/(24*time.Hour)), "day")
	switch {
	case !now.Before(c.NotAfter):
		r.fault(check, fmt.Sprintf("%s expired at %s UTC", what, c.NotAfter.UTC().Format(time.DateTime)), do)
	case now.Before(c.NotBefore):
		r.fault(check, fmt.Sprintf("%s is valid from %s UTC on", what, c.NotBefore.UTC().Format(time.DateTime)), "see that this host's clock is right; if it is, use the former one until then")
	case c.ExpiresSoon(now):
		r.warn(check, fmt.Sprintf("%s expires in %s, at %s UTC", what, left, c.NotAfter.UTC().Format(time.DateTime)), do)
	default:
		r.ok(check, fmt.Sprintf("%s is valid until %s (%s)", what, day, left))
		return true
	}
	return false
}

func expired(certs []spoold.Certificate, key string, now time.Time) (n int) {
	for _, c := range certs {
		if c.Key == key && now.After(c.NotAfter) {
			n++
		}
	}
	return n
}

func has(n int) string {
	if n == 1 {
		return "has"
	}
	return "have"
}
