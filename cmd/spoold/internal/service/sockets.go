package service

import (
	"net"
	"sync"

	"github.com/coreos/go-systemd/v22/activation"
)

// listeners takes the descriptors once: they are closed on exec and belong to
// whoever asks first.
var listeners = sync.OnceValues(func() (map[string][]net.Listener, error) {
	return activation.ListenersWithNames()
})
