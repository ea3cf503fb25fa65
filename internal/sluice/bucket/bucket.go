// Package bucket tells what changed in a dataset between two readings of its source, of
// which only sums were kept.
//
// Rows fall into buckets by their key, wherever they stand: by ranges of it where it is
// one whole number, else by a keyed digest of it, or of the whole row where there is
// none. A bucket's sum is that of its rows' keyed digests (package reconcile) and their
// number. Two readings whose sums of a bucket are equal have the same rows in it.
//
// A dataset has at most Most buckets: when there are more, neighbours are joined, so that
// ten million rows make buckets of some 64 and memory does not grow beyond that.
package bucket

import (
	"encoding/binary"
	"maps"
	"math/bits"
	"slices"

	"ecluse"
	"ecluse/internal/sluice/reader"
	"ecluse/internal/sluice/reconcile"
	"ecluse/internal/sluice/record"
)

// Most is how many buckets a dataset has at the most.
const Most = 1 << 18

// Places tells which bucket rows of a dataset fall into, and what they are.
// It belongs to one goroutine.
type Places struct {
	schema *record.Schema
	summer *reconcile.Summer
	key    []int // places of the key's columns; none: the whole row
	number int   // place of a key that is one whole number; −1: it is not
}

// NewPlaces makes one for a dataset whose rows have the fields of a schema first; what comes
// behind them is not looked at. Of a key of
// which not all columns travel nothing is known: then a row is known by all of it. sub is
// the migration's sub-key for the dataset.
func NewPlaces(d ecluse.DatasetID, s *record.Schema, key []string, sub [32]byte) *Places {
	t := reconcile.Table{Name: ecluse.TableName{Name: string(d)}}
	for _, f := range s.Fields {
		t.Columns = append(t.Columns, reconcile.Column{Name: f.Name})
	}
	p := &Places{schema: s, summer: reconcile.NewSummer(t, sub), number: -1}
	for _, name := range key {
		i := s.Index(name)
		if i < 0 {
			return &Places{schema: s, summer: p.summer, number: -1}
		}
		p.key = append(p.key, i)
	}
	if len(p.key) == 1 && s.Fields[p.key[0]].Type.Kind == ecluse.Int {
		p.number, p.key = p.key[0], nil
	}
	return p
}

// Numbered tells whether buckets are ranges of a whole number.
func (p *Places) Numbered() bool { return p.number >= 0 }

// Row is where a row falls, and a digest of all of it.
type Row struct {
	Place  uint64
	Digest [2]uint64
}

// Each tells it of every row of a batch.
func (p *Places) Each(b *record.Batch, do func(i int, r Row)) error { return p.In(nil, b, do) }

// In tells it of the rows of a batch that are in a set; nil: of all.
func (p *Places) In(set *Set, b *record.Batch, do func(i int, r Row)) error {
	if n := len(p.schema.Fields); n < len(b.Columns) {
		b = &record.Batch{Schema: p.schema, Columns: b.Columns[:n]}
	}
	has := func(place uint64) bool { return set == nil || set.Has(place) }
	all := func(int, uint64) bool { return true }
	switch {
	case p.number >= 0:
		numbers := b.Columns[p.number]
		place := func(i int) uint64 {
			if numbers.Null(i) {
				return 1 << 63
			}
			return placeOf(numbers.Int(i))
		}
		return p.summer.Rows(b, nil, func(i int, _ uint64) bool { return has(place(i)) },
			func(i int, _ uint64, digest [2]uint64) { do(i, Row{place(i), digest}) })
	case len(p.key) > 0:
		return p.summer.Rows(b, p.key, func(_ int, key uint64) bool { return has(key) },
			func(i int, key uint64, digest [2]uint64) { do(i, Row{key, digest}) })
	}
	return p.summer.Rows(b, nil, all, func(i int, _ uint64, digest [2]uint64) {
		if has(digest[0]) {
			do(i, Row{digest[0], digest})
		}
	})
}

// placeOf keeps whole numbers in their order.
func placeOf(n int64) uint64 { return uint64(n) ^ 1<<63 }

// Sums are a dataset's at one reading.
type Sums struct {
	shift uint8          // a bucket is the rows whose places agree but for so many bits
	all   []sum          // of digests: by bucket
	at    map[uint64]int // of whole numbers: where in all a bucket is; nil: all is by bucket
	last  uint64         // the bucket looked up last, and where: rows often come in the order of the key
	where int
}

type sum struct {
	rows  uint64
	total [2]uint64
}

func (s *sum) add(o sum) {
	var carry uint64
	s.rows += o.rows
	s.total[0], carry = bits.Add64(s.total[0], o.total[0], 0)
	s.total[1], _ = bits.Add64(s.total[1], o.total[1], carry)
}

// Digests are spread evenly: their first bits are the bucket. A bucket of whole numbers
// has this many at the least.
const (
	digestShift = 64 - 18
	numberShift = 6
)

// NewSums are those of no rows.
func (p *Places) NewSums() *Sums {
	if p.Numbered() {
		return newSums(numberShift)
	}
	return newSums(digestShift)
}

func newSums(shift uint8) *Sums {
	if shift == digestShift {
		return &Sums{shift: shift, all: make([]sum, Most)}
	}
	return &Sums{shift: shift, at: map[uint64]int{}, where: -1}
}

// Add adds a row.
func (s *Sums) Add(r Row) {
	bucket := r.Place >> s.shift
	if s.at == nil {
		s.all[bucket].add(sum{1, r.Digest})
		return
	}
	if s.where < 0 || s.last != bucket {
		i, there := s.at[bucket]
		if !there {
			i = len(s.all)
			s.at[bucket] = i
			s.all = append(s.all, sum{})
		}
		s.last, s.where = bucket, i
	}
	s.all[s.where].add(sum{1, r.Digest})
	for len(s.all) > Most {
		s.join(s.shift + 1)
	}
}

// join makes buckets of whole numbers coarser.
func (s *Sums) join(shift uint8) {
	by := shift - s.shift
	at, all := make(map[uint64]int, len(s.at)>>by), make([]sum, 0, len(s.all)>>by)
	for bucket, i := range s.at {
		j, there := at[bucket>>by]
		if !there {
			j = len(all)
			at[bucket>>by] = j
			all = append(all, sum{})
		}
		all[j].add(s.all[i])
	}
	s.shift, s.at, s.all, s.where = shift, at, all, -1
}

// of is a bucket's sum; of one without rows the zero one.
func (s *Sums) of(bucket uint64) sum {
	if s.at == nil {
		return s.all[bucket]
	}
	if i, there := s.at[bucket]; there {
		return s.all[i]
	}
	return sum{}
}

// each tells every bucket that has rows, in no order.
func (s *Sums) each(do func(bucket uint64, x sum)) {
	if s.at == nil {
		for bucket, x := range s.all {
			if x.rows > 0 {
				do(uint64(bucket), x)
			}
		}
		return
	}
	for bucket, i := range s.at {
		do(bucket, s.all[i])
	}
}

// Differ are the buckets in which two readings of one dataset have not the same rows. It
// may join buckets of either.
func Differ(a, b *Sums) *Set {
	for a.shift < b.shift && a.at != nil {
		a.join(b.shift)
	}
	for b.shift < a.shift && b.at != nil {
		b.join(a.shift)
	}
	set := &Set{Shift: b.shift, in: map[uint64]bool{}}
	var before, now int64
	a.each(func(bucket uint64, x sum) {
		if b.of(bucket) != x {
			set.in[bucket] = true
			before += int64(x.rows)
		}
	})
	b.each(func(bucket uint64, x sum) {
		if a.of(bucket) != x {
			set.in[bucket] = true
			now += int64(x.rows)
		}
	})
	set.Rows = max(before, now)
	return set
}

// Like are sums of no rows in buckets as large.
func (s *Sums) Like() *Sums { return newSums(s.shift) }

// Same tells whether both have the same rows in some buckets, of both's size.
func (s *Sums) Same(o *Sums, in *Set) bool {
	for bucket := range in.in {
		if s.of(bucket) != o.of(bucket) {
			return false
		}
	}
	return s.shift == in.Shift && o.shift == in.Shift
}

// Set is some of a dataset's buckets.
type Set struct {
	Shift uint8
	Rows  int64 // in them, at the reading where they are more, as Differ found it
	in    map[uint64]bool
}

// Has tells whether a place is in one of them.
func (s *Set) Has(place uint64) bool { return s.in[place>>s.Shift] }

// Len is how many there are.
func (s *Set) Len() int { return len(s.in) }

// Ranges are the key's ranges of buckets of whole numbers, ascending; neighbours are one.
func (s *Set) Ranges() []reader.Range {
	var all []reader.Range
	for _, bucket := range slices.Sorted(maps.Keys(s.in)) {
		from := int64(bucket<<s.Shift ^ 1<<63)
		to := int64((bucket<<s.Shift | (1<<s.Shift - 1)) ^ 1<<63)
		if n := len(all); n > 0 && all[n-1].To != 1<<63-1 && all[n-1].To+1 == from {
			all[n-1].To = to
			continue
		}
		all = append(all, reader.Range{From: from, To: to})
	}
	return all
}

// SetSchema is how a set travels: a line for each bucket.
func SetSchema() *record.Schema {
	whole := ecluse.Type{Kind: ecluse.Int}
	return &record.Schema{Fields: []record.Field{{Name: "shift", Type: whole}, {Name: "bucket", Type: whole}}}
}

// Emit gives the set in batches of at most so many lines, in order.
func (s *Set) Emit(rows int, emit func(*record.Batch) error) error {
	b := record.NewBatch(SetSchema(), rows)
	for _, bucket := range slices.Sorted(maps.Keys(s.in)) {
		b.Columns[0].AppendInt(int64(s.Shift))
		b.Columns[1].AppendInt(int64(bucket))
		if b.Rows() == rows {
			if err := emit(b); err != nil {
				return err
			}
			b.Reset()
		}
	}
	if b.Rows() == 0 {
		return nil
	}
	return emit(b)
}

// Take adds the lines of a batch to a set; the zero Set has none.
func (s *Set) Take(b *record.Batch) error {
	if !b.Schema.Equal(SetSchema()) {
		return damaged("its columns are others")
	}
	for i := range b.Rows() {
		if b.Columns[0].Null(i) || b.Columns[1].Null(i) {
			return damaged("a bucket has no number")
		}
		shift := b.Columns[0].Int(i)
		if shift < 0 || shift > 63 || s.in != nil && uint8(shift) != s.Shift {
			return damaged("its buckets are of several sizes")
		}
		if s.in == nil {
			s.in = map[uint64]bool{}
		}
		s.Shift = uint8(shift)
		if s.in[uint64(b.Columns[1].Int(i))] = true; len(s.in) > Most {
			return damaged("it has more than a dataset can have")
		}
	}
	return nil
}

func damaged(why string) error {
	return &ecluse.Error{Kind: ecluse.Unverified, What: "read a list of buckets", Why: why}
}

// sumsFormat begins kept sums.
const sumsFormat = "ecluse buckets v1\n"

// Bytes are the sums to be kept: format, shift, number of buckets, then for each, in
// order, uvarint of how far it is from the one before, uvarint of its rows and 16 bytes.
func (s *Sums) Bytes() []byte {
	var buckets []uint64
	s.each(func(bucket uint64, _ sum) { buckets = append(buckets, bucket) })
	slices.Sort(buckets)
	out := append(make([]byte, 0, 24*len(buckets)+32), sumsFormat...)
	out = binary.AppendUvarint(append(out, s.shift), uint64(len(buckets)))
	before := uint64(0)
	for _, bucket := range buckets {
		x := s.of(bucket)
		out = binary.AppendUvarint(binary.AppendUvarint(out, bucket-before), x.rows)
		out = binary.LittleEndian.AppendUint64(binary.LittleEndian.AppendUint64(out, x.total[0]), x.total[1])
		before = bucket
	}
	return out
}

// ParseSums reads what Bytes wrote.
func ParseSums(b []byte) (*Sums, error) {
	const what = "read the sums of a reading"
	rest, ok := cut(b, sumsFormat)
	if !ok || len(rest) == 0 || rest[0] > 63 {
		return nil, &ecluse.Error{Kind: ecluse.Unverified, What: what, Why: "they are in no form that is known"}
	}
	shift := rest[0]
	s := newSums(shift)
	rest = rest[1:]
	next := func() (n uint64) {
		n, used := binary.Uvarint(rest)
		if used <= 0 {
			ok = false
			return 0
		}
		rest = rest[used:]
		return n
	}
	n := next()
	for i, before := uint64(0), uint64(0); ok && i < n; i++ {
		step, rows := next(), next()
		bucket := before + step
		if ok = ok && len(rest) >= 16 && rows > 0 && i < Most && (i == 0 || step > 0) && bucket >= before && bucket <= (1<<64-1)>>shift; !ok {
			break
		}
		x := sum{rows, [2]uint64{binary.LittleEndian.Uint64(rest), binary.LittleEndian.Uint64(rest[8:])}}
		if s.at == nil {
			s.all[bucket] = x
		} else {
			s.at[bucket] = len(s.all)
			s.all = append(s.all, x)
		}
		rest, before = rest[16:], bucket
	}
	if !ok || len(rest) > 0 {
		return nil, &ecluse.Error{Kind: ecluse.Unverified, What: what, Why: "they are damaged"}
	}
	return s, nil
}

func cut(b []byte, prefix string) ([]byte, bool) {
	if len(b) < len(prefix) || string(b[:len(prefix)]) != prefix {
		return nil, false
	}
	return b[len(prefix):], true
}
