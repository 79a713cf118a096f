package main

import (
	"bytes"
	"fmt"
	"image/png"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// made is a history of so many samples, one a second, and a little trouble.
func made(t *testing.T, samples int, change func(row map[string]string, i int)) *history {
	t.Helper()
	names := []string{"t_s", "pid", "pending", "disk_bytes", "spool_bytes", "file_bytes", "anon_bytes", "descriptors", "threads", "cpu_ms", "device_bytes"}
	var b strings.Builder
	b.WriteString(strings.Join(names, ",") + "\n")
	for i := range samples {
		row := map[string]string{"t_s": fmt.Sprint(i), "pid": "7"}
		change(row, i)
		for j, name := range names {
			if j > 0 {
				b.WriteByte(',')
			}
			b.WriteString(row[name])
		}
		b.WriteByte('\n')
	}
	dir := t.TempDir()
	for name, text := range map[string]string{
		"samples.csv": b.String(), "trouble.csv": "kind,from_s,to_s\nkill,3,3\nlink-hangs,10,40\nrest,50,60\nsomething-new,1,2\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	one, err := readTable(filepath.Join(dir, "samples.csv"))
	if err != nil {
		t.Fatal(err)
	}
	two, err := readTable(filepath.Join(dir, "trouble.csv"))
	if err != nil {
		t.Fatal(err)
	}
	h, err := newHistory(one, two)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func TestNoPeakIsLostWhenThereAreMoreSamplesThanColumns(t *testing.T) {
	const samples, high, low = 10_000, 4711, 815
	h := made(t, samples, func(row map[string]string, i int) {
		row["pending"] = map[int]string{high: "1000", low: "-1000"}[i]
		if row["pending"] == "" {
			row["pending"] = fmt.Sprint(i % 10)
		}
	})
	values, err := h.table.numbers("pending")
	if err != nil {
		t.Fatal(err)
	}
	lines := h.lines(values, 100)
	if len(lines) != 1 || len(lines[0]) > 200 {
		t.Fatalf("%d lines, the first of %d points, want one of at most 200", len(lines), len(lines[0]))
	}
	seen := make(map[point]bool)
	last := -1.0
	for _, p := range lines[0] {
		seen[p] = true
		if p.x < last {
			t.Errorf("the line goes back from %v to %v", last, p.x)
		}
		last = p.x
	}
	if !seen[point{high, 1000}] || !seen[point{low, -1000}] {
		t.Error("the highest or the lowest sample is not on the line")
	}
}

func TestWhereTheDaemonGaveNoAnswerThereIsAGap(t *testing.T) {
	h := made(t, 30, func(row map[string]string, i int) {
		if i < 10 || i >= 20 {
			row["pending"] = "5"
		}
	})
	values, err := h.table.numbers("pending")
	if err != nil {
		t.Fatal(err)
	}
	lines := h.lines(values, 1000)
	if len(lines) != 2 || lines[0][len(lines[0])-1].x != 9 || lines[1][0].x != 20 {
		t.Errorf("lines are %v, want one up to 9 s and one from 20 s", lines)
	}
}

func TestARateOfAProcessEndsWithIt(t *testing.T) {
	h := made(t, 6, func(row map[string]string, i int) {
		row["device_bytes"] = fmt.Sprint(100 * i)
		if i >= 3 {
			row["pid"], row["device_bytes"] = "8", fmt.Sprint(300+10*(i-3))
		}
	})
	values, err := h.table.numbers("device_bytes")
	if err != nil {
		t.Fatal(err)
	}
	none := math.NaN()
	for own, want := range map[bool][]float64{true: {none, 100, 100, none, 10, 10}, false: {none, 100, 100, 100, 10, 10}} {
		if got := h.rate(values, own); fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("rate(%v) = %v, want %v", own, got, want)
		}
	}
}

func TestAPictureIsMadeOfAShortHistoryAndOfAnEmptyOne(t *testing.T) {
	for name, fill := range map[string]string{"something": "5", "nothing": "0", "no answer": ""} {
		h := made(t, 61, func(row map[string]string, _ int) {
			for _, column := range []string{"pending", "disk_bytes", "spool_bytes", "file_bytes", "anon_bytes", "descriptors", "threads", "cpu_ms", "device_bytes"} {
				row[column] = fill
			}
		})
		picture, err := h.draw("png")
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		var out bytes.Buffer
		if _, err := picture.WriteTo(&out); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		img, err := png.Decode(&out)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		colours := make(map[any]bool)
		for x := range img.Bounds().Dx() {
			for y := 0; y < img.Bounds().Dy(); y += 3 {
				colours[img.At(x, y)] = true
			}
		}
		if len(colours) < 20 {
			t.Errorf("%s: the picture has %d colours: it shows nothing", name, len(colours))
		}
	}
}
