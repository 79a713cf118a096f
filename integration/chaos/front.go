package chaos

import "github.com/spoold/spoold/integration/link"

// Front is a link with a proxy behind it, for the place in front of a broker: the link refuses, hangs and
// cuts as a network does, the proxy breaks one request or answer.
type Front struct {
	*Proxy
	link *link.Link
}

// NewFront opens a front to target that lets everything pass.
func NewFront(name, target string) (*Front, error) {
	p, err := New(Options{Name: name, Target: target})
	if err != nil {
		return nil, err
	}
	l, err := link.New(p.Addr())
	if err != nil {
		p.Close()
		return nil, err
	}
	return &Front{p, l}, nil
}

// Way is the link.
func (f *Front) Way() *link.Link { return f.link }

// Addr is where clients connect to: the link's address.
func (f *Front) Addr() string { return f.link.Addr() }

// Close ends both.
func (f *Front) Close() {
	f.link.Close()
	f.Proxy.Close()
}
