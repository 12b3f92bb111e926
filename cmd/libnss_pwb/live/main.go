// Command nss-live answers one question of the NSS module by asking the server: for
// nodes on which no agent runs. It reads the question from standard input, writes
// the answer to standard output and ends, in a bounded time; package question has
// the form of both. It is started with an empty environment by processes of any
// kind, su(1) and sshd(8) among them, and takes nothing from any that there is.
//
// What the server answers is believed no further than a node with the default
// policy would: names, numbers and homes that no account may have, and those of the
// node's own accounts and groups, are not found.
package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"os"
	"sync"
	"syscall"
	"time"

	"pwb/cmd/libnss_pwb/question"
	"pwb/roster"
)

const defaultConf = "/etc/rstudio/workbench-nss.conf"

func main() {
	if len(os.Environ()) > 0 {
		// Packages have looked at it before this line. What starts anew has none.
		_ = syscall.Exec("/proc/self/exe", os.Args, nil)
		os.Clearenv()
	}
	log.SetOutput(io.Discard) // of net/http, beside the errors
	var l live
	f := flag.NewFlagSet("nss-live", flag.ContinueOnError)
	f.StringVar(&l.conf, "conf", defaultConf, "`file` with the server's address and the tokens' files")
	f.StringVar(&l.passwd, "local-passwd-file", "/etc/passwd", "the node's own passwd `file`")
	f.StringVar(&l.group, "local-group-file", "/etc/group", "the node's own group `file`")
	explain := f.Bool("explain", false, "say on standard error why there is no answer")
	if err := f.Parse(os.Args[1:]); err != nil {
		os.Exit(2) // it has said why
	}
	l.uid = os.Geteuid()
	os.Exit(l.run(os.Stdin, os.Stdout, os.Stderr, *explain))
}

// live is what one answer rests on.
type live struct {
	conf, passwd, group string
	uid                 int // whose rights count
}

// run answers one question. The exit status is 0 when it could be answered, be it
// that there is no such entry, and 1 when it could not.
func (l *live) run(stdin io.Reader, stdout, stderr io.Writer, explain bool) int {
	var once sync.Once
	status := 0
	// say answers, once; with why for who wants to know.
	say := func(answer []byte, err error) {
		once.Do(func() {
			if err != nil && explain {
				fmt.Fprintf(stderr, "nss-live: %v\n", err)
			}
			if _, err := stdout.Write(answer); err != nil || string(answer) == question.Unavail {
				status = 1
			}
		})
	}
	c, err := readConf(l.conf)
	if err != nil {
		say([]byte(question.Unavail), err)
		return status
	}
	ctx, cancel := context.WithTimeout(context.Background(), c.timeout)
	defer cancel()
	done := make(chan struct{})
	go func() {
		defer close(done)
		say(l.answer(ctx, c, stdin))
	}()
	select {
	case <-done:
	case <-ctx.Done():
		// What hangs, a name server or whoever is to ask, goes with the process. Who
		// does not read the answer gets a moment more.
		late := make(chan struct{})
		go func() {
			defer close(late)
			say([]byte(question.Unavail), fmt.Errorf("no answer within %v", c.timeout))
		}()
		select {
		case <-late:
		case <-time.After(grace):
			return 1
		}
	}
	return status
}

// grace is how long after the timeout an answer may still be written.
const grace = time.Second

// answer is what is to be written, and why there is no line.
func (l *live) answer(ctx context.Context, c *conf, stdin io.Reader) ([]byte, error) {
	q, err := question.Read(stdin)
	if errors.Is(err, question.ErrNever) {
		return []byte(question.NotFound), err
	}
	if err != nil {
		return []byte(question.Unavail), err
	}
	if q.Database == question.Current {
		return []byte(question.Unavail), errors.New("only an agent makes passes")
	}
	if q.Database == question.Shadow && l.uid != 0 {
		return []byte(question.Denied), errors.New("shadow is for root alone")
	}
	if roster.Protected(q.Name) {
		return []byte(question.NotFound), refused(fmt.Errorf("%q is one of the system's own", q.Name))
	}
	line, err := l.ask(ctx, c, q)
	if err == nil {
		line, err = l.check(q, line)
	}
	switch {
	case err == nil:
		return question.Found(bytes.TrimSuffix(line, []byte{'\n'})), nil
	case errors.Is(err, errNotFound), errors.Is(err, errRefused):
		return []byte(question.NotFound), err
	case errors.Is(err, errDenied):
		return []byte(question.Denied), err
	}
	return []byte(question.Unavail), err
}
