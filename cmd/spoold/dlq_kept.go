package main

import (
	"cmp"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spoold/spoold"
)

// listedDeadLetter is a dead letter as dlq ls prints it, or a file that holds what was too long to be a record.
type listedDeadLetter struct {
	spoold.DeadLetterInfo
	Path string `json:"path,omitempty"` // of the file; the rest is of no dead letter then, but for at, bytes and message
}

// keptLines are the files that --too-long dead-letter of produce and ship has left beside a spool, oldest first.
func keptLines(spool string) ([]listedDeadLetter, error) {
	dir := tooLongDir(spool)
	entries, err := os.ReadDir(dir)
	if os.IsNotExist(err) {
		return nil, nil
	}
	if err != nil {
		return nil, &exitError{exitIO, fmt.Errorf("dlq ls: records that were too long: %w", err)}
	}
	var list []listedDeadLetter
	for _, e := range entries {
		info, err := e.Info()
		if err != nil || !info.Mode().IsRegular() || strings.HasSuffix(e.Name(), ".tmp") {
			continue // gone meanwhile, or not whole
		}
		list = append(list, listedDeadLetter{spoold.DeadLetterInfo{
			Partition: -1, Code: noCode, Message: "longer than max.request.size allows", At: info.ModTime().UnixMilli(), Bytes: info.Size(),
		}, filepath.Join(dir, e.Name())})
	}
	slices.SortFunc(list, func(a, b listedDeadLetter) int { return cmp.Or(cmp.Compare(a.At, b.At), cmp.Compare(a.Path, b.Path)) })
	return list, nil
}

// printKept prints them below the dead letters.
func printKept(w io.Writer, list []listedDeadLetter) error {
	if len(list) == 0 {
		return nil
	}
	fmt.Fprintf(w, "%s too long to be sent, kept beside the spool: spoold does not send them, remove the files when they are not needed\n", plural(len(list), "record"))
	t := tabwriter.NewWriter(w, 0, 0, 3, ' ', 0)
	fmt.Fprintln(t, "FILE\tKEPT\tBYTES")
	for _, k := range list {
		fmt.Fprintf(t, "%s\t%s\t%s\n", k.Path, time.UnixMilli(k.At).Format(time.RFC3339), comma(uint64(k.Bytes)))
	}
	return t.Flush()
}
