package ospfapi

// WithTap returns cfg with a recorder of every message.
func WithTap(cfg Config, tap func(sent bool, message []byte)) Config {
	cfg.tap = tap
	return cfg
}
