package main

import (
	"fmt"
	"image/color"
	"io"
	"math"
	"slices"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/font"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/text"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

const (
	width   = 14 * vg.Inch
	height  = 15.5 * vg.Inch
	columns = 1200 // of samples
)

// Colours that people with colour blindness can tell apart (Okabe and Ito).
var (
	blue   = color.NRGBA{0x00, 0x72, 0xb2, 0xff}
	orange = color.NRGBA{0xe6, 0x9f, 0x00, 0xff}
	red    = color.NRGBA{0xd5, 0x5e, 0x00, 0xff}
	green  = color.NRGBA{0x00, 0x9e, 0x73, 0xff}
	purple = color.NRGBA{0xcc, 0x79, 0xa7, 0xff}
	grey   = color.NRGBA{0x60, 0x60, 0x60, 0xff}
)

// bands are the kinds that colour the background of all panels.
var bands = []struct {
	title string
	kinds []string
	color color.NRGBA
}{
	{"outage of all links", []string{"link-refuses", "link-hangs"}, color.NRGBA{0xd5, 0x5e, 0x00, 0x38}},
	{"disk full", []string{"disk-full"}, color.NRGBA{0xe6, 0x9f, 0x00, 0x50}},
	{"requests broken", []string{"weather"}, color.NRGBA{0x56, 0xb4, 0xe9, 0x38}},
	{"rest: drains, then idle", []string{"rest"}, color.NRGBA{0x00, 0x9e, 0x73, 0x38}},
}

// curve is one line of a panel.
type curve struct {
	column string
	title  string
	scale  float64 // a value is divided by it
	rate   bool    // per second
	own    bool    // with rate: it counts from 0 in each process
	color  color.Color
}

// panel is one of the plots.
type panel struct {
	title  string
	unit   string
	curves []curve
	limit  float64 // a dashed line, if not 0
	limits string  // what it is
}

const mib = 1 << 20

var panels = []panel{
	{title: "Backlog", unit: "thousand records", curves: []curve{
		{column: "pending", title: "pending: spooled, not yet acked", scale: 1000, color: blue}}},
	{title: "The spool's disk", unit: "MiB", curves: []curve{
		{column: "disk_bytes", title: "occupied by its files", scale: mib, color: grey},
		{column: "spool_bytes", title: "of blocks that are not settled", scale: mib, color: blue}}},
	{title: "Memory", unit: "MiB", limit: 256, limits: "limit of anonymous memory", curves: []curve{
		{column: "file_bytes", title: "mapped files (page cache)", scale: mib, color: orange},
		{column: "anon_bytes", title: "anonymous", scale: mib, color: blue}}},
	{title: "Descriptors and threads", unit: "open", curves: []curve{
		{column: "descriptors", title: "descriptors", scale: 1, color: blue},
		{column: "threads", title: "threads", scale: 1, color: purple}}},
	{title: "Disk writes and CPU", unit: "MiB/s, % of a core", curves: []curve{
		{column: "cpu_ms", title: "CPU of the daemon, % of a core", scale: 10, rate: true, own: true, color: orange},
		{column: "device_bytes", title: "written to the spool's disk, MiB/s", scale: mib, rate: true, color: blue}}},
}

// draw makes the picture in a format: png or svg.
func (r *history) draw(format string) (io.WriterTo, error) {
	canvas, err := draw.NewFormattedCanvas(width, height, format)
	if err != nil {
		return nil, err
	}
	var rows [][]*plot.Plot
	for i := range panels {
		p, err := r.panel(&panels[i], i == 0)
		if err != nil {
			return nil, err
		}
		rows = append(rows, []*plot.Plot{p})
	}
	rows = append(rows, []*plot.Plot{r.gantt()})
	dc := draw.New(canvas)
	dc.FillPolygon(color.White, []vg.Point{{X: dc.Min.X, Y: dc.Min.Y}, {X: dc.Max.X, Y: dc.Min.Y}, dc.Max, {X: dc.Min.X, Y: dc.Max.Y}})
	tiles := draw.Tiles{Rows: len(rows), Cols: 1, PadTop: vg.Points(6), PadBottom: vg.Points(6), PadLeft: vg.Points(6), PadRight: vg.Points(14), PadY: vg.Points(8)}
	for i, row := range plot.Align(rows, tiles, dc) {
		rows[i][0].Draw(row[0])
	}
	return canvas, nil
}

// frame is an empty plot with the time below.
func (r *history) frame(title string) *plot.Plot {
	p := plot.New()
	p.Title.Text = title
	p.Title.TextStyle.Font.Size = font.Points(12)
	p.X.Min, p.X.Max = 0, r.ends
	p.X.Tick.Marker = plot.TickerFunc(clock)
	p.X.Tick.Label.Font.Size, p.Y.Tick.Label.Font.Size = font.Points(10), font.Points(10)
	p.Y.Label.TextStyle.Font.Size = font.Points(10)
	p.Legend.TextStyle.Font.Size = font.Points(10)
	p.Legend.Top, p.Legend.Padding = true, vg.Points(2)
	p.Legend.XOffs = -vg.Points(6)
	return p
}

func (r *history) panel(d *panel, legend bool) (*plot.Plot, error) {
	p := r.frame(d.title)
	p.Y.Label.Text = d.unit
	r.background(p, legend)
	top := 0.0
	for i := range d.curves {
		high, err := r.curve(p, &d.curves[i])
		if err != nil {
			return nil, err
		}
		top = max(top, high)
	}
	if d.limit > 0 {
		l, err := plotter.NewLine(plotter.XYs{{X: 0, Y: d.limit}, {X: r.ends, Y: d.limit}})
		if err != nil {
			return nil, err
		}
		l.Color, l.Width, l.Dashes = red, vg.Points(1.5), []vg.Length{vg.Points(6), vg.Points(4)}
		p.Add(l)
		p.Legend.Add(d.limits, l)
	}
	// Room above for the legend.
	room := 1.1 + 0.12*float64(len(d.curves))
	if legend {
		room = 1.7
	}
	p.Y.Min, p.Y.Max = 0, max(top*room, d.limit*1.5)
	if p.Y.Max == 0 {
		p.Y.Max = 1
	}
	return p, nil
}

// background is the bands and a grid.
func (r *history) background(p *plot.Plot, legend bool) {
	for _, b := range bands {
		band := &stripes{color: b.color}
		for _, t := range r.trouble {
			if slices.Contains(b.kinds, t.kind) {
				band.list = append(band.list, t)
			}
		}
		p.Add(band)
		if legend {
			p.Legend.Add(b.title, band)
		}
	}
	grid := plotter.NewGrid()
	grid.Vertical.Color, grid.Horizontal.Color = color.Gray{0xdd}, color.Gray{0xdd}
	p.Add(grid)
}

// curve draws one and reports how high it goes.
func (r *history) curve(p *plot.Plot, c *curve) (top float64, err error) {
	values, err := r.table.numbers(c.column)
	if err != nil {
		return 0, err
	}
	if c.rate {
		values = r.rate(values, c.own)
	}
	var thumb plot.Thumbnailer
	for _, line := range r.lines(values, columns) {
		var xys plotter.XYs
		for _, at := range line {
			xys = append(xys, plotter.XY{X: at.x, Y: at.y / c.scale})
			top = max(top, at.y/c.scale)
		}
		l, err := plotter.NewLine(xys)
		if err != nil {
			return 0, fmt.Errorf("%s: %w", c.column, err)
		}
		l.Color, l.Width = c.color, vg.Points(1)
		p.Add(l)
		thumb = l
	}
	if thumb != nil {
		p.Legend.Add(c.title, thumb)
	}
	return top, nil
}

// clock puts ticks at round times.
func clock(from, to float64) []plot.Tick {
	step := 5.0
	for _, s := range []float64{5, 10, 30, 60, 120, 300, 600, 1200, 1800, 3600, 7200, 4 * 3600} {
		if step = s; (to-from)/s <= 14 {
			break
		}
	}
	var ticks []plot.Tick
	for t := math.Ceil(from/step) * step; t <= to; t += step {
		s := int(t)
		label := fmt.Sprintf("%d:%02d:%02d", s/3600, s/60%60, s%60)
		ticks = append(ticks, plot.Tick{Value: t, Label: label})
	}
	return ticks
}

// stripes colour the background while trouble is on.
type stripes struct {
	list  []trouble
	color color.Color
}

func (s *stripes) Plot(c draw.Canvas, p *plot.Plot) {
	x, _ := p.Transforms(&c)
	for _, t := range s.list {
		from, to := x(t.from), x(t.to)
		c.FillPolygon(s.color, []vg.Point{{X: from, Y: c.Min.Y}, {X: to, Y: c.Min.Y}, {X: to, Y: c.Max.Y}, {X: from, Y: c.Max.Y}})
	}
}

// Thumbnail fills the legend's square, whatever is behind it.
func (s *stripes) Thumbnail(c *draw.Canvas) {
	square := []vg.Point{{X: c.Min.X, Y: c.Min.Y}, {X: c.Max.X, Y: c.Min.Y}, {X: c.Max.X, Y: c.Max.Y}, {X: c.Min.X, Y: c.Max.Y}}
	c.FillPolygon(color.White, square)
	c.FillPolygon(s.color, square)
	c.StrokeLines(draw.LineStyle{Color: color.Gray{0x90}, Width: vg.Points(0.5)}, append(square, square[0]))
}

// kinds are the rows of the last panel, from below.
var kinds = []struct {
	kind, title string
	color       color.Color
}{
	{"growth", "partition added", grey},
	{"disk-full", "disk full", orange},
	{"weather", "requests broken", blue},
	{"link-hangs", "links hang", red},
	{"link-refuses", "links refuse", red},
	{"brokers-rolling", "rolling restart", purple},
	{"broker-freeze", "broker SIGSTOP", purple},
	{"broker-stop", "broker SIGTERM", purple},
	{"broker-kill", "broker SIGKILL", purple},
	{"freeze", "daemon SIGSTOP", green},
	{"stop", "daemon SIGTERM", green},
	{"kill", "daemon SIGKILL", green},
}

// gantt shows which trouble was on when: a row for each kind.
func (r *history) gantt() *plot.Plot {
	p := r.frame("Trouble")
	p.X.Label.Text = "time since the run began (h:mm:ss)"
	p.X.Label.TextStyle.Font.Size = font.Points(10)
	p.Y.Min, p.Y.Max = -0.6, float64(len(kinds))-0.4
	var ticks []plot.Tick
	rows := make(map[string]int)
	for i, k := range kinds {
		ticks = append(ticks, plot.Tick{Value: float64(i), Label: k.title})
		rows[k.kind] = i
	}
	p.Y.Tick.Marker = plot.ConstantTicks(ticks)
	p.Y.Tick.Label.XAlign = text.XRight
	p.Add(bars(func(c draw.Canvas, p *plot.Plot) {
		x, y := p.Transforms(&c)
		for i := range kinds {
			c.StrokeLine2(draw.LineStyle{Color: color.Gray{0xdd}, Width: vg.Points(0.5)}, c.Min.X, y(float64(i)), c.Max.X, y(float64(i)))
		}
		for _, t := range r.trouble {
			row, ok := rows[t.kind]
			if !ok {
				continue // rest, and what is counted twice
			}
			from, to := x(t.from), x(t.to)
			to = max(to, from+vg.Points(1)) // also what took no time is seen
			low, high := y(float64(row)-0.36), y(float64(row)+0.36)
			c.FillPolygon(kinds[row].color, []vg.Point{{X: from, Y: low}, {X: to, Y: low}, {X: to, Y: high}, {X: from, Y: high}})
		}
	}))
	return p
}

// bars draws itself.
type bars func(c draw.Canvas, p *plot.Plot)

func (b bars) Plot(c draw.Canvas, p *plot.Plot) { b(c, p) }
