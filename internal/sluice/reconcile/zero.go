package reconcile

// DropZero takes out the lines of a grouped check that count nothing any more:
// all the rows of their key were put aside.
func (f Figures) DropZero() {
	for k, x := range f {
		if x.Count != nil && *x.Count == 0 && (x.Sum == nil || x.Sum.Sign() == 0) {
			delete(f, k)
		}
	}
}
