package shell

// simulateCommands are answered by srrsh itself, from what `simulate dump`
// gives it: the daemon carries no simulator, and a question that takes long
// loads nobody but the one who asked it.
func simulateCommands() []*word {
	ask := func(name, help string, next ...*word) *word { return &word{Name: name, Help: help, Next: next} }
	node := func(help string) *word { return &word{Name: "NODE", Kind: nodeName, Help: help, run: forClient} }
	return []*word{
		ask("node-down", "a node loses its power", node("the node")),
		ask("node-standby", "a node goes into standby", node("the node")),
		ask("service-fails", "a service fails where it runs", &word{Name: "SERVICE", Kind: serviceName, Help: "a service", run: forClient,
			Next: []*word{node("the node it fails on; without it, where it runs")}}),
		ask("srrd-down", "srrd of a node is killed", node("the node")),
		ask("ospfd-down", "ospfd of a node is killed", node("the node")),
		ask("partition", "some nodes and all others no longer reach each other", &word{Name: "NODES", Kind: freeText,
			Help: "the nodes of one side, with commas: n1,n2", run: forClient}),
		ask("config", "this node has other configuration files", &word{Name: "FILE", Kind: freeText,
			Help: "an srrd.yaml; its services_dir is read too", run: forClient}),
		{Name: "dump", Help: "the cluster as this node sees it, for srrsim what-if", run: simulateDump},
	}
}

func simulateDump(c *call) error {
	s, err := c.read()
	if err != nil {
		return err
	}
	return c.json(s.ClusterDocument())
}

// Simulation takes a line apart that a client answers itself: the question,
// word by word, and whether in JSON. It reports false for every other line,
// one that is no whole command among them, so that srrd explains what is wrong
// with it.
func Simulation(line string) (question []string, json bool, ok bool) {
	m, err := parse(tree(), line)
	if err != nil || len(m.Words) < 2 || m.Words[0].Name != "simulate" || m.Words[1].Name == "dump" {
		return nil, false, false
	}
	for _, w := range m.Words[1:] {
		if t, ok := m.arg(w.Name); ok {
			question = append(question, t.Text)
		} else {
			question = append(question, w.Name)
		}
	}
	return question, m.opts.JSON, true
}
