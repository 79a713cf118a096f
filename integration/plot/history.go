package main

import (
	"encoding/csv"
	"errors"
	"fmt"
	"math"
	"os"
	"strconv"
)

// table is a CSV file with a head.
type table struct {
	path    string
	columns map[string]int
	rows    [][]string
}

func readTable(path string) (*table, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }() // it is only read
	r := csv.NewReader(f)
	r.ReuseRecord = false
	rows, err := r.ReadAll()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if len(rows) == 0 {
		return nil, fmt.Errorf("%s: it is empty", path)
	}
	t := &table{path: path, columns: make(map[string]int), rows: rows[1:]}
	for i, name := range rows[0] {
		t.columns[name] = i
	}
	return t, nil
}

// numbers is a column; NaN where it is empty.
func (t *table) numbers(name string) ([]float64, error) {
	texts, err := t.texts(name)
	if err != nil {
		return nil, err
	}
	out := make([]float64, len(texts))
	for i, text := range texts {
		if out[i] = math.NaN(); text == "" {
			continue
		}
		if out[i], err = strconv.ParseFloat(text, 64); err != nil {
			return nil, fmt.Errorf("%s, line %d, column %s: %w", t.path, i+2, name, err)
		}
	}
	return out, nil
}

func (t *table) texts(name string) ([]string, error) {
	at, ok := t.columns[name]
	if !ok {
		return nil, fmt.Errorf("%s has no column %s", t.path, name)
	}
	out := make([]string, len(t.rows))
	for i, row := range t.rows {
		out[i] = row[at]
	}
	return out, nil
}

// history is what is drawn.
type history struct {
	t       []float64 // seconds
	pid     []float64
	table   *table
	trouble []trouble
	ends    float64
}

type trouble struct {
	kind     string
	from, to float64
}

func newHistory(samples, events *table) (*history, error) {
	r := &history{table: samples}
	var err [6]error
	r.t, err[0] = samples.numbers("t_s")
	r.pid, err[1] = samples.numbers("pid")
	kinds, e := events.texts("kind")
	err[2] = e
	from, e := events.numbers("from_s")
	err[3] = e
	to, e := events.numbers("to_s")
	err[4] = e
	if len(r.t) < 2 {
		err[5] = fmt.Errorf("%s: %d samples make no picture", samples.path, len(r.t))
	}
	if err := errors.Join(err[:]...); err != nil {
		return nil, err
	}
	for i, kind := range kinds {
		r.trouble = append(r.trouble, trouble{kind, from[i], to[i]})
	}
	r.ends = r.t[len(r.t)-1]
	return r, nil
}

// rate is how fast a column grows, per second. If it is a process's own, there is none across a restart.
func (r *history) rate(values []float64, own bool) []float64 {
	out := make([]float64, len(values))
	for i := range out {
		out[i] = math.NaN()
		if i > 0 && (!own || r.pid[i] == r.pid[i-1]) && r.t[i] > r.t[i-1] {
			out[i] = (values[i] - values[i-1]) / (r.t[i] - r.t[i-1])
		}
	}
	return out
}

// point is one of a line's.
type point struct{ x, y float64 }

// lines makes lines of a column, in so many columns of the picture at most: where several samples share one, its lowest
// and its highest value in their order. A gap ends a line.
func (r *history) lines(values []float64, columns int) [][]point {
	var out [][]point
	var line []point
	end := func() {
		if len(line) > 0 {
			out = append(out, line)
		}
		line = nil
	}
	column := func(i int) int { return int(r.t[i] / (r.ends + 1e-9) * float64(columns)) }
	for i := 0; i < len(values); {
		if math.IsNaN(values[i]) {
			end()
			i++
			continue
		}
		low, high, j := i, i, i+1
		for ; j < len(values) && column(j) == column(i) && !math.IsNaN(values[j]); j++ {
			if values[j] < values[low] {
				low = j
			}
			if values[j] > values[high] {
				high = j
			}
		}
		first, second := min(low, high), max(low, high)
		line = append(line, point{r.t[first], values[first]})
		if second != first {
			line = append(line, point{r.t[second], values[second]})
		}
		i = j
	}
	end()
	return out
}
