package config

import "testing"

func TestVersionsOfBothSuitesAreTaken(t *testing.T) {
	for text, ok := range map[string]bool{
		"8.4.4": true, "10.3": true, "7.5.1-1.1+deb11u1": true, "Quagga 1.2.4": true, "Quagga 0.99.22.4": true,
		"Quagga": false, "Quagga x.y": false, "quagga 1.2.4": false, "8": false, "": false,
	} {
		if got, err := frrVersion(text); (err == nil) != ok || ok && got != text {
			t.Errorf("%q: %q, %v", text, got, err)
		}
	}
}
