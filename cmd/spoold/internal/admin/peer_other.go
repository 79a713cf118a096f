//go:build !linux

package admin

import (
	"io/fs"
	"net"
)

// peer says nothing here: the modes of the socket and its directory decide alone.
func peer(net.Conn) (uid uint32, known bool, err error) { return 0, false, nil }

func ownerOf(fs.FileInfo) int { return 0 }
