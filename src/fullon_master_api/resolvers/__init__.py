"""How a field is answered: one batched function per field, where the trader's nouns meet the three APIs."""
