package lossy

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"

	"github.com/spoold/spoold/integration/powercut"
	"github.com/spoold/spoold/integration/proc"
)

// Disk is the rig's end of the file system's process. Its methods are for one goroutine.
type Disk struct {
	Dir     string // where it is mounted
	Notices <-chan Notice

	process *proc.Process
	in      *os.File
	answers chan message
}

// Open starts the file system's process, with a blank disk that is off. The program that runs must
// call Main. dir must be there and empty.
func Open(dir string) (*Disk, error) {
	cmd := exec.CommandContext(context.Background(), "/proc/self/exe") // it ends by Close
	cmd.Env = append(os.Environ(), envMount+"="+dir)
	cmd.Stderr = os.Stderr
	childIn, in, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("lossy: %w", err)
	}
	out, childOut, err := os.Pipe()
	if err != nil {
		return nil, errors.Join(fmt.Errorf("lossy: %w", err), childIn.Close(), in.Close())
	}
	cmd.Stdin, cmd.Stdout = childIn, childOut
	p, err := proc.Start(cmd)
	if err := errors.Join(err, childIn.Close(), childOut.Close()); err != nil {
		return nil, errors.Join(fmt.Errorf("lossy: %w", err), in.Close(), out.Close())
	}
	notices := make(chan Notice, 1024)
	d := &Disk{Dir: dir, Notices: notices, process: p, in: in, answers: make(chan message)}
	go d.listen(out, notices)
	return d, d.Blank()
}

// listen sorts what the process says. Notices that nobody takes are dropped, the oldest first.
func (d *Disk) listen(out *os.File, notices chan Notice) {
	defer close(d.answers)
	defer func() { _ = out.Close() }() // read to its end
	for lines := bufio.NewScanner(out); lines.Scan(); {
		var m message
		if err := json.Unmarshal(lines.Bytes(), &m); err != nil {
			m = message{Answer: true, Err: fmt.Sprintf("lossy: %q: %v", lines.Text(), err)}
		}
		if m.Answer {
			d.answers <- m
			continue
		}
		for sent := false; !sent; {
			select {
			case notices <- m.Notice:
				sent = true
			default:
				select {
				case <-notices:
				default:
				}
			}
		}
	}
}

func (d *Disk) ask(c command) (message, error) {
	line, err := json.Marshal(c)
	if err != nil {
		return message{}, fmt.Errorf("lossy: %w", err)
	}
	if _, err := d.in.Write(append(line, '\n')); err != nil {
		return message{}, fmt.Errorf("lossy: the file system's process is gone: %w", err)
	}
	m, ok := <-d.answers
	switch {
	case !ok:
		return m, fmt.Errorf("lossy: the file system's process is gone: %w", d.process.Err())
	case m.Err != "":
		return m, errors.New(m.Err)
	}
	return m, nil
}

func (d *Disk) tell(c command) error {
	_, err := d.ask(c)
	return err
}

// Blank makes a disk on which nothing ever was. It must be off.
func (d *Disk) Blank() error { return d.tell(command{Do: "blank"}) }

// On turns the power on.
func (d *Disk) On(set Setting) error { return d.tell(command{Do: "on", Setting: set}) }

// Cut cuts the power now. Calls wait from now on.
func (d *Disk) Cut() error { return d.tell(command{Do: "cut"}) }

// Abandon fails the calls that wait since the power was cut: whoever made them has been sent SIGKILL.
func (d *Disk) Abandon() error { return d.tell(command{Do: "abandon"}) }

// Off ends a life of the disk, and says what became of what was not safe: seed decides. No process may
// have a file open.
func (d *Disk) Off(seed uint64) (powercut.Tally, error) {
	m, err := d.ask(command{Do: "off", Seed: seed})
	return m.Tally, err
}

// Arm cuts the power at a moment to come: a Notice tells when. nil: no more.
func (d *Disk) Arm(m *Moment) error { return d.tell(command{Do: "arm", Moment: m}) }

// Fail lets calls fail: a Notice tells of each. None: no more.
func (d *Disk) Fail(faults ...Fault) error { return d.tell(command{Do: "fail", Faults: faults}) }

// Look counts calls.
func (d *Disk) Look() (Look, error) {
	m, err := d.ask(command{Do: "look"})
	return m.Look, err
}

// Dump copies the files to a directory, for people: to "before" what was on the disk when the power was
// turned on, to "now" what is there.
func (d *Disk) Dump(dir string) error { return d.tell(command{Do: "dump", Dir: dir}) }

// Close ends the process, and the mount with it.
func (d *Disk) Close() error { return errors.Join(d.in.Close(), d.process.Err()) }
