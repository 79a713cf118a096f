package doctor

import (
	"strings"
	"testing"
	"time"

	"github.com/spoold/spoold"
)

func TestCertificatesThatExpireAreNamedWithTheDaysThatAreLeft(t *testing.T) {
	now := time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)
	const year, day = 365 * 24 * time.Hour, 24 * time.Hour
	cert := func(subject string, left time.Duration, authority bool) spoold.Certificate {
		return spoold.Certificate{Key: "key", Subject: "CN=" + subject, NotBefore: now.Add(left - year), NotAfter: now.Add(left), Authority: authority}
	}
	for _, tt := range []struct {
		certs []spoold.Certificate
		want  string
	}{
		{[]spoold.Certificate{cert("a", 200*day, false)}, "ok key: the certificate (CN=a) is valid until 2027-06-18 (200 days)\n"},
		{[]spoold.Certificate{cert("a", 12*day+time.Hour, false), cert("between", 200*day, false)}, "warning key: the certificate (CN=a) expires in 12 days, at 2026-12-12 13:00:00 UTC\n"},
		{[]spoold.Certificate{cert("a", 200*day, false), cert("between", -day, false)}, "fault key: the certificate (CN=between) expired at 2026-11-29 12:00:00 UTC\n"},
		{[]spoold.Certificate{cert("a", 2*year, false)}, "fault key: the certificate (CN=a) is valid from 2027-11-30 12:00:00 UTC on\n"},
		{[]spoold.Certificate{cert("a", -day, true)}, "fault key: the authority's certificate (CN=a) expired at 2026-11-29 12:00:00 UTC\n"},
		{[]spoold.Certificate{cert("a", day+time.Second, true)}, "warning key: the authority's certificate (CN=a) expires in 1 day, at 2026-12-01 12:00:01 UTC\n"},
		{[]spoold.Certificate{cert("a", -day, true), cert("b", 200*day, true)},
			"ok key: the authority's certificate (CN=b) is valid until 2027-06-18 (200 days)\nwarning key: of the authorities' certificates there, 1 has expired\n"},
	} {
		var r Report
		Certificates(&r, tt.certs, now)
		if got := lines(&r); got != tt.want {
			t.Errorf("the report is\n%swant\n%s", got, tt.want)
		}
	}
}

func TestABrokersCertificateThatExpiresIsNamedBesideItsAddress(t *testing.T) {
	now := time.Now()
	show := func(left time.Duration) string {
		var r Report
		c := spoold.Certificate{Subject: "CN=broker", NotBefore: now.Add(left - 365*24*time.Hour), NotAfter: now.Add(left)}
		f := spoold.ClusterFacts{ID: "c", Brokers: []spoold.AddressFacts{{Addr: "a:1", Broker: 3, Certificates: []spoold.Certificate{c}}}}
		new(Cluster).Look(&r, &f, nil)
		return lines(&r)
	}
	if got := show(10 * 24 * time.Hour); !strings.Contains(got, "ok broker 3 at a:1: answers after 0s\nwarning broker 3 at a:1: its certificate (CN=broker) expires in 9 days") {
		t.Errorf("the report is\n%s", got)
	}
	if got := show(100 * 24 * time.Hour); strings.Contains(got, "certificate") {
		t.Errorf("the report is\n%s", got)
	}
}
