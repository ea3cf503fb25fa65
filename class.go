package ecluse

// Class is what an instructed column holds, as the controller declares it. The
// list is that of the file published in 2021 and of the results themselves.
type Class string

// The classes.
const (
	Technical  Class = "technical"
	Identity   Class = "identity"
	Contact    Class = "contact"
	NationalID Class = "national-id"
	Insurer    Class = "insurer"
	Prescriber Class = "prescriber"
	Sampler    Class = "sampler"
	Result     Class = "result"
	Genetic    Class = "genetic"
	Infectious Class = "infectious"
	Pregnancy  Class = "pregnancy"
	Treatment  Class = "treatment"
	FreeText   Class = "free-text"
	Document   Class = "document"   // PDF, scan, BLOB, JSON: minimisation cannot reach inside
	Credential Class = "credential" // cannot be instructed (art. 28(3), last sentence)
)

// Classes lists every class in the order screens show them.
func Classes() []Class {
	return []Class{
		Technical, Identity, Contact, NationalID, Insurer, Prescriber, Sampler, Result,
		Genetic, Infectious, Pregnancy, Treatment, FreeText, Document, Credential,
	}
}

// Valid tells whether c is one of Classes.
func (c Class) Valid() bool {
	for _, k := range Classes() {
		if c == k {
			return true
		}
	}
	return false
}

// Special tells the special categories that an instruction must also name under
// `sensitive` (GDPR art. 9).
func (c Class) Special() bool {
	switch c {
	case Genetic, Infectious, Pregnancy, Treatment:
		return true
	}
	return false
}
