package conn_test

import (
	"fmt"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/spoold/spoold/protocol/conn"
)

func TestADialErrorSaysWhatToCheck(t *testing.T) {
	lacking := &net.OpError{Op: "dial", Net: "udp", Err: os.NewSyscallError("socket", syscall.EMFILE)}
	for _, tt := range []struct {
		err  error
		says string
	}{
		{&net.OpError{Op: "dial", Net: "tcp", Err: os.NewSyscallError("connect", syscall.ECONNREFUSED)}, "nothing listens there"},
		{&net.OpError{Op: "dial", Net: "tcp", Err: os.NewSyscallError("connect", syscall.ENETUNREACH)}, "is this address right"},
		{&net.DNSError{Err: "no such host", Name: "kafka", IsNotFound: true}, "the name does not resolve here"},
		{os.ErrDeadlineExceeded, "nothing answers there"},
		{lacking, "ulimit -n"},
		{&net.DNSError{UnwrapErr: lacking, Err: lacking.Error(), Name: "kafka"}, "ulimit -n"},
		{fmt.Errorf("socket: %w", syscall.ENFILE), "ulimit -n"},
	} {
		if text := (&conn.DialError{Addr: "kafka:9092", Err: tt.err}).Error(); !strings.Contains(text, tt.says) || strings.Contains(text, "?") != !strings.Contains(tt.says, "ulimit") {
			t.Errorf("%v: %s, want it to say %q", tt.err, text, tt.says)
		}
	}
}
