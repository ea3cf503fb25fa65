package ecluse

// MaskedGroup counts rows of a dataset by a value, for those who may not know whom a
// small count counts: it shows as "<10".
type MaskedGroup struct {
	Dataset DatasetID `json:"dataset"`
	By      string    `json:"by"`
	Count   string    `json:"count"`
}
