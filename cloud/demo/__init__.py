"""Everything a visitor needs that production brings itself: servers, a believable chain, virtual customers."""
