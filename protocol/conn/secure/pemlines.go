package secure

import (
	"bytes"
	"regexp"
)

// pemBlock is a block of PEM, whatever white space it has.
var pemBlock = regexp.MustCompile(`-----BEGIN ([A-Z0-9 ]+)-----([A-Za-z0-9+/=\s]+)-----END ([A-Z0-9 ]+)-----`)

// pemLines breaks blocks of PEM into lines that stand on one line: so they do in .properties files, where Kafka's own client reads them, too.
func pemLines(text []byte) []byte {
	return pemBlock.ReplaceAllFunc(text, func(block []byte) []byte {
		part := pemBlock.FindSubmatch(block)
		if bytes.HasPrefix(bytes.TrimLeft(part[2], " \t\r"), []byte("\n")) || !bytes.Equal(part[1], part[3]) {
			return block
		}
		lines := [][]byte{[]byte("-----BEGIN " + string(part[1]) + "-----"), bytes.Join(bytes.Fields(part[2]), nil), []byte("-----END " + string(part[3]) + "-----")}
		return append(append([]byte("\n"), bytes.Join(lines, []byte("\n"))...), '\n')
	})
}
