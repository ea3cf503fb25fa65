package seal

import "io"

const blockSize = 256 << 10

// blocks is bytes held in memory, written first, then read: compressed or sealed,
// never clear. Its memory comes from a pool and goes back to it.
type blocks struct {
	pool *Pool
	list []*[blockSize]byte
	size int // bytes written
	read int // bytes read
}

// Write appends p.
func (b *blocks) Write(p []byte) (int, error) {
	n := len(p)
	for len(p) > 0 {
		k := copy(b.room(), p)
		b.size += k
		p = p[k:]
	}
	return n, nil
}

// room is where the next bytes go; never empty.
func (b *blocks) room() []byte {
	if b.size == len(b.list)*blockSize {
		block, ok := b.pool.blocks.Get().(*[blockSize]byte)
		if !ok {
			block = new([blockSize]byte)
		}
		b.list = append(b.list, block)
	}
	return b.list[len(b.list)-1][b.size%blockSize:]
}

// ReadFrom appends all of src.
func (b *blocks) ReadFrom(src io.Reader) (n int64, err error) {
	for {
		k, err := src.Read(b.room())
		b.size += k
		n += int64(k)
		if err == io.EOF {
			return n, nil
		}
		if err != nil {
			return n, err
		}
	}
}

// Read gives what was written, once.
func (b *blocks) Read(p []byte) (int, error) {
	if b.read == b.size {
		return 0, io.EOF
	}
	at := b.read % blockSize
	n := copy(p, b.list[b.read/blockSize][at:min(blockSize, at+b.size-b.read)])
	b.read += n
	return n, nil
}

// WriteTo writes to dst all that was not read.
func (b *blocks) WriteTo(dst io.Writer) (n int64, err error) {
	for b.read < b.size {
		at := b.read % blockSize
		k, err := dst.Write(b.list[b.read/blockSize][at:min(blockSize, at+b.size-b.read)])
		b.read += k
		n += int64(k)
		if err != nil {
			return n, err
		}
	}
	return n, nil
}

// free gives the memory back.
func (b *blocks) free() {
	for _, block := range b.list {
		b.pool.blocks.Put(block)
	}
	*b = blocks{pool: b.pool}
}
