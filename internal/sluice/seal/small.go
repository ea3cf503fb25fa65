package seal

import (
	"bytes"
	"errors"
	"io"
	"strings"

	"filippo.io/age"

	"ecluse"
	"ecluse/evidence"
	"ecluse/internal/sluice/record"
)

// keySchema is the one column of the chunk that carries K.
func keySchema() *record.Schema {
	return &record.Schema{Fields: []record.Field{{Name: "key", Type: ecluse.Type{Kind: ecluse.Bytes}}}}
}

// SealKey seals K itself as the only chunk of dataset ecluse.key, whose slot the
// header must name. Its keyed sum is under K's own sub-key.
func SealKey(dst io.Writer, h Header, to age.Recipient, k *Key) (Sealed, error) {
	if h.Slot.Dataset != ecluse.KeyDataset {
		return Sealed{}, &ecluse.Error{Kind: ecluse.Refused, What: "seal key", Why: "slot " + h.Slot.String() + " is not a key's"}
	}
	b := record.NewBatch(keySchema(), 1)
	b.Columns[0].AppendBytes(k[:])
	w := NewWriter(dst, h, to, k, b.Schema)
	if err := w.Write(b); err != nil {
		return Sealed{}, err
	}
	return w.Close(1, true)
}

// OpenKey opens what SealKey sealed.
func OpenKey(src io.Reader, d *evidence.Descriptor, id age.Identity) (*Key, error) {
	if d.Slot.Dataset != ecluse.KeyDataset {
		return nil, &ecluse.Error{Kind: ecluse.Refused, What: "open key", Why: "slot " + d.Slot.String() + " is not a key's"}
	}
	r, err := new(Pool).open(src, d, id, nil)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	k, err := readKey(r)
	if err != nil {
		return nil, r.failed(err)
	}
	sum := newSum(k.Sub(UseChunks, string(ecluse.KeyDataset)))
	sum.add(r.raw.Bytes())
	if !sum.is(d.Sum) {
		return nil, r.failed(errors.New("its keyed sum is not the one the source gate signed"))
	}
	return k, nil
}

func readKey(r *Reader) (*Key, error) {
	if !r.Schema().Equal(keySchema()) || r.d.Rows != 1 {
		return nil, errors.New("it is not a key's chunk")
	}
	b := record.NewBatch(keySchema(), 1)
	if err := r.Next(b); err != nil {
		return nil, err
	}
	k := new(Key)
	if got := b.Columns[0].Bytes(0); len(got) != len(k) {
		return nil, errors.New("it holds no key")
	}
	copy(k[:], b.Columns[0].Bytes(0))
	if err := r.Next(b); !errors.Is(err, io.EOF) {
		return nil, err
	}
	return k, nil
}

// SealBytes seals a small document, such as the rows put aside for the source
// gate. The label says what it is and what it belongs to (one line, no patient's
// data); it is sealed as the first line.
func SealBytes(to age.Recipient, label string, doc []byte) ([]byte, error) {
	if err := hybrid(to); err != nil {
		return nil, err
	}
	if strings.Contains(label, "\n") {
		return nil, &ecluse.Error{Kind: ecluse.Invalid, What: "seal document", Why: "its label is more than one line"}
	}
	var out bytes.Buffer
	w, err := age.Encrypt(&out, to)
	if err != nil {
		return nil, err
	}
	if _, err := io.WriteString(w, label+"\n"); err != nil {
		return nil, err
	}
	if _, err := w.Write(doc); err != nil {
		return nil, err
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}

// OpenBytes opens a document sealed under that label, and no other.
func OpenBytes(id age.Identity, label string, sealed []byte) ([]byte, error) {
	refuse := func(err error) error {
		return &ecluse.Error{Kind: ecluse.Unverified, What: "open document", Where: label, Err: err}
	}
	r, err := decrypt(bytes.NewReader(sealed), id)
	if err != nil {
		return nil, refuse(err)
	}
	plain, err := io.ReadAll(r)
	if err != nil {
		return nil, refuse(err)
	}
	doc, ok := bytes.CutPrefix(plain, []byte(label+"\n"))
	if !ok {
		return nil, refuse(errors.New("inside it says that it is another document"))
	}
	return doc, nil
}
