package doctor

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/spoold/spoold"
)

// lines is a report as text: level, check and what was seen.
func lines(r *Report) string {
	var b strings.Builder
	for _, f := range r.Findings {
		fmt.Fprintf(&b, "%s %s: %s\n", f.Level, f.Check, f.What)
	}
	return b.String()
}

func TestHostFaultsAreNamed(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	open := filepath.Join(dir, "open")
	if err := os.Mkdir(open, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(open, 0o755); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name string
		host Host
		want string
	}{
		{"a file", Host{SpoolPath: file}, "fault spool directory: " + file + " is not a directory"},
		{"others may enter", Host{SpoolPath: open}, "warning spool directory: " + open + " may be entered by others (mode 0755)"},
		{"not there yet", Host{SpoolPath: filepath.Join(dir, "a", "b")}, "does not exist yet and can be created"},
		{"no room", Host{SpoolPath: dir, MinFreeBytes: 1 << 60}, "fault disk space: "},
		{"little room", Host{SpoolPath: dir, MaxBytes: 1 << 60}, "warning disk space: "},
		{"few descriptors", Host{SpoolPath: dir, Connections: 1 << 30}, "fault descriptors: "},
		{"a clock in the past", Host{SpoolPath: dir, ProgramBuiltAt: time.Now().Add(time.Hour)}, "fault clock: "},
	}
	for _, tt := range tests {
		var r Report
		tt.host.Look(context.Background(), &r)
		if got := lines(&r); !strings.Contains(got, tt.want) {
			t.Errorf("%s: the report is\n%swant %q in it", tt.name, got, tt.want)
		}
	}
	if left, err := filepath.Glob(filepath.Join(dir, ".spoold-doctor-*")); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v %v", left, err)
	}
}

func TestTopicsThatBreakThePromiseAreNamed(t *testing.T) {
	good := func() spoold.TopicFacts {
		return spoold.TopicFacts{Name: "t", Partitions: 3, Replicas: 3, InSync: 3, Rights: true, MayRead: true, MayWrite: true,
			Config: map[string]string{"min.insync.replicas": "2", "max.message.bytes": "1048588", "cleanup.policy": "delete"}}
	}
	tests := []struct {
		change func(*spoold.TopicFacts)
		want   string
	}{
		{func(*spoold.TopicFacts) {}, "ok topic t: 3 partitions, 3 replicas"},
		{func(f *spoold.TopicFacts) { f.MayWrite = false }, "fault topic t: this user may not write it"},
		{func(f *spoold.TopicFacts) { f.MayRead = false }, "warning topic t: this user may not read it"},
		{func(f *spoold.TopicFacts) { f.Leaderless = 1 }, "fault topic t: 1 partition without a leader"},
		{func(f *spoold.TopicFacts) { f.Replicas, f.InSync = 1, 1; f.Config["min.insync.replicas"] = "1" }, "warning topic t: a partition has one replica"},
		{func(f *spoold.TopicFacts) { f.InSync = 1 }, "fault topic t: 1 in-sync replicas, min.insync.replicas is 2"},
		{func(f *spoold.TopicFacts) { f.Config["min.insync.replicas"] = "1" }, "warning topic t: min.insync.replicas is 1"},
		{func(f *spoold.TopicFacts) { f.Config["min.insync.replicas"] = "3" }, "warning topic t: min.insync.replicas is 3 of 3 replicas"},
		{func(f *spoold.TopicFacts) { f.Config["unclean.leader.election.enable"] = "true" }, "warning topic t: unclean.leader.election.enable"},
		{func(f *spoold.TopicFacts) { f.Config["max.message.bytes"] = "1000" }, "warning topic t: max.message.bytes is 1000, max.request.size is 1048576"},
		{func(f *spoold.TopicFacts) { f.Config["cleanup.policy"] = "compact,delete" }, "warning topic t: it is compacted"},
		{func(f *spoold.TopicFacts) { f.Config["message.timestamp.after.max.ms"] = "500" }, "warning topic t: message.timestamp.after.max.ms is 500"},
		{func(f *spoold.TopicFacts) { f.Config["message.timestamp.before.max.ms"] = "3600000" }, "warning topic t: message.timestamp.before.max.ms is 3600000 (1h0m0s)"},
		{func(f *spoold.TopicFacts) { f.Err = errors.New("UNKNOWN_TOPIC_OR_PARTITION") }, "fault topic t: it does not exist, and topics.create is false"},
		{func(f *spoold.TopicFacts) { f.Err = errors.New("TOPIC_AUTHORIZATION_FAILED") }, "fault topic t: this user may not describe it"},
	}
	for _, tt := range tests {
		f := good()
		tt.change(&f)
		var r Report
		c := Cluster{MaxRequestSize: 1 << 20}
		c.Look(&r, &spoold.ClusterFacts{ID: "c", Topics: []spoold.TopicFacts{f}}, nil)
		got := lines(&r)
		if !strings.Contains(got, tt.want) || strings.Count(got, "topic t") != 1 {
			t.Errorf("the report is\n%swant %q and nothing else on the topic", got, tt.want)
		}
	}
}

func TestRightsThatATransactionNeedsAreNamed(t *testing.T) {
	for want, f := range map[string]spoold.TransactionalFacts{
		"ok transactional id x: ":                                         {ID: "x", Group: "spoold.x", Known: true, MayUse: true, MayCommit: true},
		"fault transactional id x: this user may not use it":              {ID: "x", Group: "spoold.x", Known: true},
		"fault transactional id x: this user may not commit its progress": {ID: "x", Group: "spoold.x", Known: true, MayUse: true},
		"": {ID: "x"},
	} {
		var r Report
		transactional(&r, &f)
		if got := lines(&r); !strings.HasPrefix(got, want) || (want == "") != (got == "") {
			t.Errorf("%+v: the report is %q, want %q", f, got, want)
		}
	}
}

func TestAnotherClusterIsAFault(t *testing.T) {
	var r Report
	c := Cluster{KnownID: "ours"}
	c.Look(&r, &spoold.ClusterFacts{ID: "theirs"}, nil)
	if got := lines(&r); !strings.Contains(got, "fault cluster: this is cluster theirs, and the spool belongs to ours") || r.Worst() != Fault {
		t.Errorf("the report is\n%s", got)
	}
}

func TestMarkersThatKafkaLosesAreWarnedOf(t *testing.T) {
	var r Report
	f := spoold.ClusterFacts{ID: "c", MetadataVersion: lossyMetadataVersion, Topics: []spoold.TopicFacts{{Name: "t", Replicas: 2, InSync: 2}}}
	new(Cluster).Look(&r, &f, nil)
	if got := lines(&r); !strings.Contains(got, "can lose transaction markers") {
		t.Errorf("the report is\n%s", got)
	}
}

// An address that answers and refuses is not to be looked for in the network, nor a bootstrap server in what brokers advertise.
func TestEachAddressSaysWhatToMend(t *testing.T) {
	dial := &net.OpError{Op: "dial", Err: errors.New("refused")}
	for want, a := range map[string]spoold.AddressFacts{
		"sasl.*":               {Addr: "a:1", Broker: -1, Err: errors.New("this listener does not use SASL")},
		"bootstrap.servers":    {Addr: "a:1", Broker: -1, Err: fmt.Errorf("connect to a:1: %w", dial)},
		"advertised.listeners": {Addr: "a:1", Broker: 3, Err: fmt.Errorf("connect to a:1: %w", dial)},
	} {
		if got := reach(&a); !strings.Contains(got, want) {
			t.Errorf("%v: %q, want %q in it", a.Err, got, want)
		}
	}
}

func TestNoServerIsAFaultWithTheReasonOfEach(t *testing.T) {
	var r Report
	f := spoold.ClusterFacts{Bootstrap: []spoold.AddressFacts{{Addr: "a:1", Err: errors.New("refused")}, {Addr: "b:1", Err: errors.New("no such host")}}}
	new(Cluster).Look(&r, &f, errors.New("none"))
	got := lines(&r)
	for _, want := range []string{"fault bootstrap server a:1: refused", "fault bootstrap server b:1: no such host", "fault cluster: no bootstrap server can be used"} {
		if !strings.Contains(got, want) {
			t.Errorf("the report is\n%swant %q in it", got, want)
		}
	}
}

func TestAFullDiskIsNotToBeReplaced(t *testing.T) {
	for err, want := range map[error]string{syscall.ENOSPC: "free space", syscall.EDQUOT: "quota", syscall.EIO: "replace the disk"} {
		if got := unwritten(&os.PathError{Op: "write", Err: err}); !strings.Contains(got, want) {
			t.Errorf("%v: %q, want %q in it", err, got, want)
		}
	}
}
