package viewtest

import "github.com/srrd/srrd/sidecar/internal/advert"

// Decode is a view.Database.Decode for the LSAs of srrd, as the daemon's.
func Decode(opaqueType uint8, body []byte) (text string, ok bool) {
	if opaqueType != advert.OpaqueType {
		return "", false
	}
	return advert.Describe(body), true
}
