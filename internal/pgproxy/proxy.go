// Package pgproxy stands between a client and PostgreSQL in tests: it counts what the client sends, and can cut the
// connection after any message, as a crash or a broken network would.
package pgproxy

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"sync"
	"sync/atomic"
)

// Proxy forwards connections to one server. Its counters may be read at any time.
type Proxy struct {
	listener net.Listener
	network  string
	server   string
	url      *url.URL

	messages atomic.Int64
	cuts     atomic.Int64
	cut      atomic.Pointer[Cut]
	answered atomic.Bool

	mu    sync.Mutex
	conns map[net.Conn]bool
	done  sync.WaitGroup
}

// Start opens a port in front of the server that the URL names by TCP.
func Start(serverURL string) (*Proxy, error) {
	u, err := url.Parse(serverURL)
	if err != nil {
		return nil, fmt.Errorf("read the server's URL: %w", err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("open a port for the proxy: %w", err)
	}
	p := &Proxy{listener: l, network: "tcp", server: u.Host, url: u, conns: map[net.Conn]bool{}}
	p.done.Add(1)
	go p.accept()
	return p, nil
}

// URL is the server's, by way of the proxy and without encryption, so that messages can be told apart.
func (p *Proxy) URL() string {
	u := *p.url
	u.Host = p.listener.Addr().String()
	q := u.Query()
	q.Set("sslmode", "disable")
	u.RawQuery = q.Encode()
	return u.String()
}

// Messages counts the messages that clients have sent after their start-up, Terminate left out.
func (p *Proxy) Messages() int64 { return p.messages.Load() }

// Cuts counts the connections that were cut.
func (p *Proxy) Cuts() int64 { return p.cuts.Load() }

// Lost is what a cut takes away.
type Lost int

// What a cut takes away.
const (
	// InFlight lets the server have the message, and the client gets no answer. Whether the server still carries it out is
	// left to the network, as in life.
	InFlight Lost = iota
	// Request is the message itself: the server never sees it.
	Request
	// Reply is the end of the answer: the server has carried the message out, and the client does not learn of it.
	Reply
)

// Cut says when the proxy cuts every connection.
type Cut struct {
	// At reports whether to cut at a message, which is the n-th from now on; body is without type and length.
	At func(n int64, body []byte) bool
	// Lost is what the cut takes away.
	Lost Lost
	// Then is called before the cut, if not nil.
	Then func()
}

// CutAfter makes the proxy cut every connection as soon as n messages have been forwarded from now on; 0 cuts none.
// The server gets the last message and works on it; the client gets no answer. Then nil, if not nil, is called.
func (p *Proxy) CutAfter(n int64, then func()) {
	if n <= 0 {
		p.CutAt(nil)
		return
	}
	p.CutAt(&Cut{At: func(at int64, _ []byte) bool { return at >= n }, Then: then})
}

// CutAt arms a cut; nil disarms. Messages are counted anew.
func (p *Proxy) CutAt(c *Cut) {
	p.messages.Store(0)
	p.answered.Store(false)
	p.cut.Store(c)
}

// Close closes the port and every connection.
func (p *Proxy) Close() {
	_ = p.listener.Close()
	p.cutAll()
	p.done.Wait()
}

func (p *Proxy) cutAll() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.conns {
		_ = c.Close()
	}
}

func (p *Proxy) accept() {
	defer p.done.Done()
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return
		}
		server, err := net.Dial(p.network, p.server)
		if err != nil {
			_ = client.Close()
			continue
		}
		p.mu.Lock()
		p.conns[client], p.conns[server] = true, true
		p.mu.Unlock()
		p.done.Add(2)
		go func() {
			defer p.done.Done()
			_ = p.answer(client, server)
			p.drop(client, server)
		}()
		go func() {
			defer p.done.Done()
			_ = p.forward(server, client)
			p.drop(client, server)
		}()
	}
}

func (p *Proxy) drop(conns ...net.Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range conns {
		_ = c.Close()
		delete(p.conns, c)
	}
}

var errCut = errors.New("cut")

// forward copies the client's messages one by one: the start-up packets have no type byte, all others have one.
func (p *Proxy) forward(server io.Writer, client io.Reader) error {
	started := false
	for {
		head := make([]byte, 5)
		size := 4
		if started {
			size = 5
		}
		if _, err := io.ReadFull(client, head[:size]); err != nil {
			return err
		}
		length := binary.BigEndian.Uint32(head[size-4 : size])
		body := make([]byte, length-4)
		if _, err := io.ReadFull(client, body); err != nil {
			return err
		}
		if !started {
			// SSLRequest, GSSENCRequest and CancelRequest come before or instead of the start-up packet.
			const special = 1234 << 16
			started = len(body) < 4 || binary.BigEndian.Uint32(body)&0xffff0000 != special
			if _, err := server.Write(append(head[:size], body...)); err != nil {
				return err
			}
			continue
		}
		// Terminate says good-bye, and password messages belong to the start-up.
		cut := p.cut.Load()
		if head[0] == 'X' || head[0] == 'p' {
			cut = nil
		} else if n := p.messages.Add(1); cut != nil && !cut.At(n, body) {
			cut = nil
		}
		if cut != nil && cut.Lost == Request {
			return p.sever(cut)
		}
		if cut != nil && cut.Lost == Reply {
			p.answered.Store(true)
			cut = nil
		}
		if _, err := server.Write(append(head[:size], body...)); err != nil {
			return err
		}
		if cut != nil {
			return p.sever(cut)
		}
	}
}

// answer copies the server's messages one by one, up to the ReadyForQuery that a cut keeps back.
func (p *Proxy) answer(client io.Writer, server io.Reader) error {
	in := bufio.NewReader(server)
	for {
		head, err := in.Peek(5)
		if err != nil {
			return err
		}
		if cut := p.cut.Load(); head[0] == 'Z' && p.answered.Load() && cut != nil {
			return p.sever(cut)
		}
		if _, err := io.CopyN(client, in, int64(binary.BigEndian.Uint32(head[1:]))+1); err != nil {
			return err
		}
	}
}

func (p *Proxy) sever(c *Cut) error {
	p.cuts.Add(1)
	if c.Then != nil {
		c.Then()
	}
	p.cutAll()
	return errCut
}
