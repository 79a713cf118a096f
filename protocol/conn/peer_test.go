package conn

import (
	"encoding/binary"
	"io"
	"net"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/spoold/spoold/protocol"
)

// peer listens and plays script on each connection it gets, then closes it.
func peer(t testing.TB, script func(nc net.Conn)) (addr string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for {
			nc, err := l.Accept()
			if err != nil {
				return
			}
			script(nc)
			nc.Close()
		}
	}()
	t.Cleanup(func() {
		l.Close()
		wait(t, ended, "the other side's end")
	})
	return l.Addr().String()
}

// request is what a peer read.
type request struct {
	key, version int16
	correlation  uint32
}

// receive reads one request.
func receive(nc net.Conn) (r request, err error) {
	var head [12]byte
	if _, err = io.ReadFull(nc, head[:]); err != nil {
		return r, err
	}
	be := binary.BigEndian
	r = request{int16(be.Uint16(head[4:])), int16(be.Uint16(head[6:])), be.Uint32(head[8:])}
	_, err = io.CopyN(io.Discard, nc, int64(be.Uint32(head[:]))-8)
	return r, err
}

// frame is an answer as it goes on the wire.
func frame(correlation uint32, body []byte) []byte {
	b := binary.BigEndian.AppendUint32(nil, uint32(4+len(body)))
	b = binary.BigEndian.AppendUint32(b, correlation)
	return append(b, body...)
}

// hello answers ApiVersions as a broker with Produce 3-13 and Metadata 0-13.
func hello(nc net.Conn) error {
	r, err := receive(nc)
	if err != nil {
		return err
	}
	_, err = nc.Write(frame(r.correlation, apiVersions(r.version, protocol.None)))
	return err
}

func apiVersions(version int16, code protocol.ErrorCode) []byte {
	resp := kmsg.NewPtrApiVersionsResponse()
	resp.Version, resp.ErrorCode = version, int16(code)
	for _, k := range [][3]int16{{0, 3, 13}, {3, 0, 13}, {18, 0, 4}} {
		resp.ApiKeys = append(resp.ApiKeys, kmsg.ApiVersionsResponseApiKey{ApiKey: k[0], MinVersion: k[1], MaxVersion: k[2]})
	}
	return resp.AppendTo(nil)
}

// metadataBody is an empty answer to Metadata 13, with the tags of its header.
func metadataBody() []byte {
	resp := kmsg.NewPtrMetadataResponse()
	resp.Version = 13
	return append([]byte{0}, resp.AppendTo(nil)...)
}
