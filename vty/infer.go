package vty

import "strings"

// inferStatus concludes from the text what the status byte would have been.
// It knows the words of FRR's parser (lib/vty.c, vty_command), takes any other
// leading "% " for a refusal, and in configuration mode the handlers' texts
// below. What prints nothing, or something unknown, passes for success.
func inferStatus(text string, inConfig bool) Status {
	refused := StatusWarning
	if inConfig {
		refused = StatusConfigFailed
	}
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if line == "" {
			continue
		}
		if words, ok := strings.CutPrefix(line, "%"); ok {
			return inferPercent(strings.TrimSpace(words), refused)
		}
		if inConfig && isRefusal(line) {
			return refused
		}
		if !inConfig {
			return StatusSuccess // a show command that has begun to show
		}
	}
	return StatusSuccess
}

// inferPercent reads the words behind the percent sign, which FRR 8 and later
// precede with the daemon: "% [OSPF] Unknown command: bogus".
func inferPercent(words string, refused Status) Status {
	if strings.HasPrefix(words, "[") {
		if _, rest, ok := strings.Cut(words, "] "); ok {
			words = rest
		}
	}
	switch {
	case strings.HasPrefix(words, "Unknown command"):
		return StatusNoMatch
	case strings.HasPrefix(words, "Ambiguous command"):
		return StatusAmbiguous
	case strings.HasPrefix(words, "Command incomplete"):
		return StatusIncomplete
	case strings.HasPrefix(words, "Configuration applied with notes"): // 10.7, done
		return StatusSuccess
	default:
		return refused
	}
}

// isRefusal knows the texts that precede `return CMD_WARNING_CONFIG_FAILED`
// without a percent sign, in ospfd/ospf_vty.c, ospfd/ospf_bfd.c,
// zebra/interface.c and lib/northbound_cli.c of FRR 8.4.4 and 10.3.
func isRefusal(line string) bool {
	for _, start := range []string{
		"There is already same network statement",
		"Can't ",
		"Must remove previous area",
		"Please ", // "specify ...", "remove all network commands first", "check the logs ..."
		"The following commands were dynamically grouped into the same transaction and rejected",
		"The network command is not supported in multi-instance ospf",
		"The area is neither stub, nor NSSA",
		"This is a loopback interface. Can't set network type",
		"Cannot enable OSPF on a virtual link",
		"First deconfigure all virtual link through this area",
		"Area does not exist",
		"Virtual link does not exist",
		"Insufficient arguments",
		"No such interface",
		"Not a valid summary address",
		"OSPF area ID is invalid",
		"OSPF area ID not present",
		"OSPF: Key ",
		"Unknown instance redistribution",
		"Instance redistribution in non-instanced OSPF not allowed",
		"Same instance OSPF redistribution not allowed",
		"Unexpected input encountered",
		"Bandwidth is invalid",
		"reference-bandwidth value is invalid",
		"write-multiplier value is invalid",
		"ip ospf bfd has not been set",
	} {
		if strings.HasPrefix(line, start) {
			return true
		}
	}
	return strings.HasPrefix(line, "interface ") && strings.HasSuffix(line, " not found.")
}
