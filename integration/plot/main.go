package main

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

func main() {
	in := flag.String("in", ".", "folder with samples.csv and trouble.csv")
	out := flag.String("out", "soak.png", "picture: .png or .svg")
	flag.Parse()
	if err := run(*in, *out); err != nil {
		fmt.Fprintln(os.Stderr, "plot:", err)
		os.Exit(1)
	}
}

func run(in, out string) (err error) {
	samples, err := readTable(filepath.Join(in, "samples.csv"))
	if err != nil {
		return err
	}
	trouble, err := readTable(filepath.Join(in, "trouble.csv"))
	if err != nil {
		return err
	}
	r, err := newHistory(samples, trouble)
	if err != nil {
		return err
	}
	picture, err := r.draw(strings.TrimPrefix(filepath.Ext(out), "."))
	if err != nil {
		return err
	}
	f, err := os.Create(out)
	if err != nil {
		return err
	}
	if _, err := picture.WriteTo(f); err != nil {
		_ = f.Close() // it is not whole anyway
		return fmt.Errorf("%s: %w", out, err)
	}
	return f.Close()
}
