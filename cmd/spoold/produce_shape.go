package main

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/spoold/spoold"
	"github.com/spoold/spoold/cmd/spoold/internal/ship/follow"
)

// recordShape says what the records of a command look like.
type recordShape struct {
	template spoold.Record // what all records have: topic, key, partition, headers
	keyDelim []byte        // nil: no keys in the input
	null     bool          // an empty value is null
	keyFile  bool          // the key is the file's path
	file     bool          // headers that say where the record stood
	offset   bool
}

// shapeFlags are those of recordShape.
func shapeFlags() []cli.Flag {
	return []cli.Flag{
		brokerFlag(),
		&cli.StringFlag{Name: "t", Aliases: []string{"topic"}, Usage: "`TOPIC` of the records"},
		&cli.StringFlag{Name: "K", Usage: "key and value are separated by `DELIM`"},
		&cli.StringFlag{Name: "k", Usage: "one `KEY` for all records"},
		&cli.StringFlag{Name: "p", Usage: "`PARTITION` for all records"},
		&cli.StringSliceFlag{Name: "H", Usage: "header `NAME=VALUE` on all records, with NAME alone its value is null; may be given again"},
		&cli.StringFlag{Name: "z", Usage: "`CODEC`: none, gzip, snappy, lz4 or zstd"},
		&cli.BoolFlag{Name: "Z", Usage: "an empty value is null (a tombstone)"},
		keyFlag(),
	}
}

func tooLongFlag() cli.Flag {
	return &cli.StringFlag{Name: "too-long", Value: string(follow.Fail),
		Usage: "a record over max.request.size: `fail` in front of it, skip it, or dead-letter (keep it in a file beside the spool, in DIR-too-long)"}
}

// shape reads shapeFlags.
func shape(c *cli.Context) (s recordShape, err error) {
	name := c.Command.Name
	topic := c.String("t")
	if topic == "" {
		return s, usagef("%s: no topic is given: use -t TOPIC", name)
	}
	if err := spoold.CheckTopic(topic); err != nil {
		return s, usagef("%s: -t: %s", name, strings.TrimPrefix(err.Error(), spoold.ErrInvalidRecord.Error()+": "))
	}
	s = recordShape{template: spoold.Record{Topic: topic}, null: c.Bool("Z")}
	if c.IsSet("K") {
		if s.keyDelim, err = delimiter(name, "K", c.String("K")); err != nil {
			return s, err
		}
	}
	if c.IsSet("k") {
		if s.keyDelim != nil {
			return s, usagef("%s: -k and -K both say what the key is: give one of them", name)
		}
		s.template.Key = []byte(c.String("k"))
	}
	if c.IsSet("p") {
		n, err := strconv.ParseInt(c.String("p"), 10, 32)
		if err != nil || n < 0 || n > spoold.MaxPartition {
			return s, usagef("%s: -p %s: it must be a number from 0 to %d", name, c.String("p"), spoold.MaxPartition)
		}
		s.template.Partition = spoold.ToPartition(int32(n))
	}
	for _, h := range c.StringSlice("H") {
		key, value, ok := strings.Cut(h, "=")
		if key == "" {
			return s, usagef("%s: -H %s: want NAME=VALUE, or NAME for a null value", name, h)
		}
		header := spoold.Header{Key: key}
		if ok {
			header.Value = []byte(value)
		}
		s.template.Headers = append(s.template.Headers, header)
	}
	return s, nil
}

// tooLong reads tooLongFlag.
func tooLong(c *cli.Context) (follow.Policy, error) {
	p, err := policy(c.String("too-long"))
	if err != nil {
		return "", usagef("%s: --too-long %s: %w", c.Command.Name, c.String("too-long"), err)
	}
	return p, nil
}

// record is a line as a record. It shares the line's bytes.
func (s *recordShape) record(line []byte) spoold.Record {
	r := s.template
	r.Value = line
	if s.keyDelim != nil {
		if key, value, ok := bytes.Cut(line, s.keyDelim); ok {
			r.Key, r.Value = key, value
		}
	}
	if r.Value == nil {
		r.Value = []byte{}
	}
	if s.null && len(r.Value) == 0 {
		r.Value = nil
	}
	return r
}

// of is a line of a file as a record.
func (s *recordShape) of(l follow.Line) spoold.Record {
	r := s.record(l.Value)
	if s.keyFile {
		r.Key = []byte(l.File)
	}
	if s.file || s.offset {
		r.Headers = append([]spoold.Header(nil), r.Headers...)
	}
	if s.file {
		r.Headers = append(r.Headers, spoold.Header{Key: "file", Value: []byte(l.File)})
	}
	if s.offset {
		r.Headers = append(r.Headers, spoold.Header{Key: "offset", Value: strconv.AppendInt(nil, l.Offset, 10)})
	}
	return r
}

// maxLine is how long a line may be, so that every record made of it is within max.request.size: that counts key,
// headers and Kafka's framing, too.
func (s *recordShape) maxLine(maxRequest int64) int {
	room := maxRequest - 90 - int64(len(s.template.Key))
	for _, h := range s.template.Headers {
		room -= int64(len(h.Key) + len(h.Value) + 10)
	}
	if s.keyFile {
		room -= 4096 // the longest path
	}
	if s.file {
		room -= 4096 + 20
	}
	if s.offset {
		room -= 40
	}
	return int(max(room, 1))
}

// delimiter understands the escapes that a shell does not.
func delimiter(command, flag, s string) ([]byte, error) {
	var out []byte
	for i := 0; i < len(s); i++ {
		if s[i] != '\\' || i+1 == len(s) {
			out = append(out, s[i])
			continue
		}
		i++
		switch s[i] {
		case 'n':
			out = append(out, '\n')
		case 't':
			out = append(out, '\t')
		case 'r':
			out = append(out, '\r')
		case '0':
			out = append(out, 0)
		case '\\':
			out = append(out, '\\')
		case 'x':
			var b byte
			if i+2 >= len(s) {
				return nil, usagef("%s: -%s %s: \\x wants two hex digits", command, flag, s)
			}
			if _, err := fmt.Sscanf(s[i+1:i+3], "%02x", &b); err != nil {
				return nil, usagef("%s: -%s %s: \\x wants two hex digits", command, flag, s)
			}
			out = append(out, b)
			i += 2
		default:
			return nil, usagef("%s: -%s %s: \\%c is not understood; there are \\n \\t \\r \\0 \\\\ \\xHH", command, flag, s, s[i])
		}
	}
	if len(out) == 0 {
		return nil, usagef("%s: -%s is empty", command, flag)
	}
	return out, nil
}
