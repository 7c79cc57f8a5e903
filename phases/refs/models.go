package refs

func (c *collector) models() {}
