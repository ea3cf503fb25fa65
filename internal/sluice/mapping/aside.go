package mapping

// Aside lists the source rows of the chunk under way that were put aside so far,
// ascending. The list grows with Apply and is good until the next Begin.
func (r *Run) Aside() []PutAside { return r.out.Rejected }
