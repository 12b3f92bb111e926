package e2e

import (
	"net"
	"sync"
	"time"
)

// weather is what a link does to what it carries.
type weather struct {
	kind string
	// cut is after how many bytes an answer ends, delay how long each part of
	// one takes.
	cut   int
	delay time.Duration
}

// The kinds of weather.
const (
	fair     = "fair"
	refusing = "refusing" // connections are reset
	hole     = "hole"     // what is sent is swallowed, and nobody is told
	cutting  = "cutting"  // each connection ends in the middle of an answer
	slow     = "slow"
)

// link is the network between an agent and its server: a TCP relay with
// weather.
type link struct {
	l      net.Listener
	server string
	all    sync.WaitGroup

	mu      sync.Mutex // over the rest
	now     weather
	changed chan struct{} // closed when now is another
	conns   map[net.Conn]bool
	closed  bool
}

// newLink listens on a loopback address and relays to server, host:port.
func newLink(server string) (*link, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	k := &link{l: l, server: server, now: weather{kind: fair}, changed: make(chan struct{}), conns: map[net.Conn]bool{}}
	k.all.Go(k.accept)
	return k, nil
}

func (k *link) url() string { return "http://" + k.l.Addr().String() }

// set changes the weather. What a hole swallowed is lost, and with it the
// connection, so that no end waits for it any more; refusal ends them all, too.
func (k *link) set(w weather) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.now.kind == hole || w.kind == refusing {
		k.reset()
	}
	k.now = w
	close(k.changed)
	k.changed = make(chan struct{})
}

// reset ends all connections; the caller holds mu.
func (k *link) reset() {
	for c := range k.conns {
		end(c)
	}
}

// end closes a connection with a reset.
func end(c net.Conn) {
	if tcp, ok := c.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0) // it may be closed already
	}
	c.Close()
}

// close ends the link and returns when nothing of it is left.
func (k *link) close() {
	k.mu.Lock()
	k.closed = true
	k.l.Close()
	k.reset()
	close(k.changed)
	k.changed = make(chan struct{})
	k.mu.Unlock()
	k.all.Wait()
}

func (k *link) look() (weather, <-chan struct{}, bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.now, k.changed, k.closed
}

// keep has the connection ended with the link; drop forgets it.
func (k *link) keep(c net.Conn) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.closed {
		end(c)
	}
	k.conns[c] = true
}

func (k *link) drop(c net.Conn) {
	k.mu.Lock()
	defer k.mu.Unlock()
	delete(k.conns, c)
}

func (k *link) accept() {
	for {
		c, err := k.l.Accept()
		if err != nil {
			return
		}
		k.keep(c)
		k.all.Go(func() { k.carry(c) })
	}
}

// carry relays one connection of an agent.
func (k *link) carry(agent net.Conn) {
	defer k.drop(agent)
	defer end(agent)
	w, changed, closed := k.look()
	if closed || w.kind == refusing {
		return
	}
	if w.kind == hole {
		<-changed
		return
	}
	server, err := net.Dial("tcp", k.server)
	if err != nil {
		return
	}
	k.keep(server)
	defer k.drop(server)
	var both sync.WaitGroup
	both.Go(func() { defer end(server); k.relay(server, agent, false) })
	both.Go(func() { defer agent.Close(); k.relay(agent, server, true) })
	both.Wait()
}

// relay copies from one end to the other; answers are what weather spoils.
func (k *link) relay(to, from net.Conn, answers bool) {
	buf := make([]byte, 4<<10)
	for carried := 0; ; {
		n, err := from.Read(buf)
		if n > 0 {
			w, changed, _ := k.look()
			switch {
			case w.kind == hole:
				<-changed
				return
			case w.kind == slow && answers:
				late := time.NewTimer(w.delay)
				select {
				case <-late.C:
				case <-changed:
				}
				late.Stop()
			case w.kind == cutting && answers && carried+n > w.cut:
				_, _ = to.Write(buf[:max(0, w.cut-carried)]) // it is cut anyway
				end(to)
				return
			}
			if _, err := to.Write(buf[:n]); err != nil {
				return
			}
			carried += n
		}
		if err != nil {
			return
		}
	}
}
