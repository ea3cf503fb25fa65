package app_test

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"filippo.io/age"

	"ecluse"
	"ecluse/evidence"
	"ecluse/internal/api"
	"ecluse/internal/app/roomtest"
	"ecluse/internal/exchange"
	"ecluse/internal/wire"
)

// TestLongChunkIsCut: a client that goes on sending after what its descriptor says is
// answered and cut off: it gets rid of no more than what the line holds by itself.
func TestLongChunkIsCut(t *testing.T) {
	t.Parallel()
	d := roomtest.At(t, roomtest.Ready, 3)
	r := d.Open()
	if err := r.BeginReading(t.Context(), roomtest.Migration); err != nil {
		t.Fatal(err)
	}
	s := serveLabs(t, func(pin wire.Pin) []api.Lab { return []api.Lab{r.Lab("room", pin)} })
	key := gateKeyOf(t, d, "source")
	c, err := r.Seat(exchange.SourcePlace).Case(t.Context(), roomtest.Migration, ecluse.Final)
	if err != nil {
		t.Fatal(err)
	}
	id, err := age.GenerateHybridIdentity()
	if err != nil {
		t.Fatal(err)
	}
	var chunk bytes.Buffer
	w, err := age.Encrypt(&chunk, id.Recipient())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(make([]byte, 100<<10)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	signed, err := evidence.SignDescriptor(key, &evidence.Descriptor{
		Migration: roomtest.Migration, Plan: ecluse.DigestOf(c.ReadPlan), Epoch: 1, Slot: ecluse.Slot{Dataset: "patient"},
		Rows: 1, Size: int64(chunk.Len()), SHA256: ecluse.DigestOf(chunk.Bytes()), Sum: ecluse.DigestOf([]byte("x")),
	})
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(signed)
	if err != nil {
		t.Fatal(err)
	}
	for name, header := range map[string]string{"a length that is too long": fmt.Sprintf("Content-Length: %d", int64(1)<<40), "no length": "Transfer-Encoding: chunked"} {
		line, err := wire.Transport(wire.Options{Pin: s.Pin, Gate: key, HTTP1: true})
		if err != nil {
			t.Fatal(err)
		}
		conn, err := line.DialTLSContext(t.Context(), "tcp", strings.TrimPrefix(s.URL, "https://"))
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if err := conn.SetDeadline(time.Now().Add(30 * time.Second)); err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(conn, "PUT /v1/labs/room/gate/migrations/%s/chunks HTTP/1.1\r\nHost: x\r\n%s: %s\r\n%s\r\n\r\n",
			roomtest.Migration, api.DescriptorHeader, base64.StdEncoding.EncodeToString(text), header)
		answered := make(chan string, 1)
		go func() {
			res, err := http.ReadResponse(bufio.NewReader(conn), nil)
			if err != nil {
				answered <- err.Error() // it may be cut before the answer was read
				return
			}
			defer res.Body.Close()
			body, _ := io.ReadAll(res.Body)
			answered <- fmt.Sprintf("%d %v %s", res.StatusCode, res.Close, body)
		}()
		const most = 64 << 20  // what buffers hold is far less
		block := chunk.Bytes() // the chunk, and then again
		sent := 0
		for err = nil; err == nil && sent < most; sent += len(block) {
			if header[0] == 'T' {
				_, err = fmt.Fprintf(conn, "%x\r\n%s\r\n", len(block), block)
			} else {
				_, err = conn.Write(block)
			}
		}
		if err == nil {
			t.Errorf("%s: %d bytes were taken", name, sent)
		}
		t.Logf("%s: cut after %d bytes: %v", name, sent, err)
		if a := <-answered; strings.HasPrefix(a, "4") && (!strings.Contains(a, "true") || !strings.Contains(a, "more came than its descriptor says")) {
			t.Errorf("%s: %s", name, a)
		} else {
			t.Log(a)
		}
	}
	if slots, err := r.Lock().Slots(t.Context(), roomtest.Migration); err != nil || len(slots) > 0 {
		t.Errorf("%d chunks were kept, %v", len(slots), err)
	}
}
