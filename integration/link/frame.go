package link

import (
	"encoding/binary"
	"fmt"
	"io"
)

// maxFrame bounds what is read at once; brokers refuse requests over 100 MiB.
const maxFrame = 128 << 20

// minRequest is length, api key, version and correlation id.
const minRequest = 4 + 2 + 2 + 4

const produceKey = 0

// frame is a request or an answer with its length before it.
type frame []byte

func readFrame(r io.Reader, least int) (frame, error) {
	var size [4]byte
	if _, err := io.ReadFull(r, size[:]); err != nil {
		return nil, err
	}
	n := binary.BigEndian.Uint32(size[:])
	if n > maxFrame || int(n)+4 < least {
		return nil, fmt.Errorf("link: a frame of %d bytes: this is not Kafka's protocol", n)
	}
	f := make(frame, 4+n)
	copy(f, size[:])
	_, err := io.ReadFull(r, f[4:])
	return f, err
}

func (f frame) apiKey() int16      { return int16(binary.BigEndian.Uint16(f[4:])) }
func (f frame) version() int16     { return int16(binary.BigEndian.Uint16(f[6:])) }
func (f frame) correlation() int32 { return int32(binary.BigEndian.Uint32(f[8:])) }

// answers is the correlation id of an answer.
func (f frame) answers() int32 { return int32(binary.BigEndian.Uint32(f[4:])) }
