/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The table of Eisenbud et al., "Maglev", NSDI'16, section 3.4, with exact weights.
 *
 * Backends claim slots one after the other, each the first free one of its preference list.
 * Three steps: how many slots each one gets, in which order they claim them, and claiming.
 */

/* How many slots each backend gets: the method of largest remainders (Hamilton). */
static void apportion(const uint32_t *turns, const uint16_t *weights, uint32_t backends,
		      uint32_t size, uint32_t *shares, struct sorted *remainders)
{
	uint64_t total = 0;
	uint32_t left = size;

	for (uint32_t i = 0; i < backends; i++)
		total += weights[i];
	for (uint32_t turn = 0; turn < backends; turn++) {
		uint32_t i = turns[turn];
		uint64_t exact = (uint64_t)weights[i] * size; /* in units of 1/total */

		shares[i] = exact / total;
		left -= shares[i];
		/* The greatest remainder first; between equals, whose turn is earlier. */
		remainders[turn] = (struct sorted){total - exact % total, i};
	}
	remainders = sort(remainders, remainders + backends, backends);
	for (uint32_t rank = 0; rank < left; rank++)
		shares[remainders[rank].backend]++;
}

/* When a backend claims: in which rounds, if the heaviest claims one slot in each. */
struct claims {
	uint32_t round;
	uint32_t rest;   /* of the round, in units of 1/unit */
	uint32_t rounds; /* from one claim to the next */
	uint32_t rests;
	uint32_t unit;
};

/* Claim k is due at (k + 1/2) * heaviest / weight: light and heavy ones are interleaved. */
static struct claims first_claim(uint32_t weight, uint32_t heaviest)
{
	uint32_t rounds = heaviest / weight, rest = heaviest % weight;

	return (struct claims){
		.round = rounds / 2,
		.rest = rest + rounds % 2 * weight,
		.rounds = rounds,
		.rests = 2 * rest,
		.unit = 2 * weight,
	};
}

static void next_claim(struct claims *claims)
{
	uint32_t rest = claims->rest + claims->rests;
	uint32_t carry = rest >= claims->unit;

	claims->rest = carry ? rest - claims->unit : rest;
	claims->round += claims->rounds + carry;
}

/*
 * In how many rounds all claims are due, or somewhat more. A share is less than its exact
 * size + 1, so its last claim k is less than that size, size * weight / total.
 */
static uint32_t count_rounds(const uint16_t *weights, const uint32_t *shares,
			     uint32_t backends, uint32_t size, uint32_t heaviest)
{
	uint64_t total = 0;
	uint32_t lightest = heaviest;

	for (uint32_t i = 0; i < backends; i++) {
		total += weights[i];
		if (shares[i] && weights[i] < lightest)
			lightest = weights[i];
	}
	return (uint64_t)size * heaviest / total + heaviest / (2 * lightest) + 2;
}

/* By round, and within a round by turn: a counting sort. */
static bool sort_claims(const uint32_t *turns, const uint16_t *weights, const uint32_t *shares,
			uint32_t backends, uint32_t size, uint32_t heaviest, uint16_t *order)
{
	uint32_t rounds = count_rounds(weights, shares, backends, size, heaviest);
	uint32_t *starts = calloc(rounds + 1, sizeof(*starts));

	if (!starts)
		return false;
	for (uint32_t i = 0; i < backends; i++) {
		if (!shares[i])
			continue;
		struct claims claims = first_claim(weights[i], heaviest);
		for (uint32_t k = 0; k < shares[i]; k++, next_claim(&claims))
			starts[claims.round + 1]++;
	}
	for (uint32_t round = 0; round < rounds; round++)
		starts[round + 1] += starts[round];
	for (uint32_t turn = 0; turn < backends; turn++) {
		uint32_t i = turns[turn];
		if (!shares[i])
			continue;
		struct claims claims = first_claim(weights[i], heaviest);
		for (uint32_t k = 0; k < shares[i]; k++, next_claim(&claims))
			order[starts[claims.round]++] = i;
	}
	free(starts);
	return true;
}

/* Who claims, claim by claim, in all `size` claims; false if there is no memory for it. */
static bool order_claims(const uint32_t *turns, const uint16_t *weights,
			 const uint32_t *shares, uint32_t backends, uint32_t size,
			 uint16_t *order)
{
	uint32_t lightest = UINT32_MAX, heaviest = 0;

	for (uint32_t i = 0; i < backends; i++) {
		lightest = weights[i] < lightest ? weights[i] : lightest;
		heaviest = weights[i] > heaviest ? weights[i] : heaviest;
	}
	if (lightest < heaviest)
		return sort_claims(turns, weights, shares, backends, size, heaviest, order);
	/* Equal weights are in order already: everybody claims once in each round. */
	for (uint32_t claim = 0, turn = 0; claim < size; claim++) {
		order[claim] = turns[turn];
		turn = turn + 1 < backends ? turn + 1 : 0;
	}
	return true;
}

/* The slots that are taken: a bit each, 8 KiB for 65,537 slots, well within an L1 cache. */
struct taken {
	uint64_t *words;
	uint32_t size;
};

static bool is_taken(const struct taken *taken, uint32_t slot)
{
	return taken->words[slot / 64] >> slot % 64 & 1;
}

static uint32_t step(uint32_t slot, uint32_t skip, uint32_t size)
{
	slot += skip;
	return slot >= size ? slot - size : slot;
}

/* Where a backend has come to in its preference list. */
struct wish {
	uint32_t slot;
	uint32_t skip;
};

/* Fill in the slots of so many claims by walking down the preference lists. */
static inline __attribute__((always_inline)) void
walk(struct wish *wishes, const uint16_t *order, uint32_t claims, const int tries,
     struct taken *taken, int32_t *table)
{
	uint32_t size = taken->size;

	for (uint32_t claim = 0; claim < claims; claim++) {
		struct wish *wish = &wishes[order[claim]];
		uint32_t slot = wish->slot, skip = wish->skip;

		for (int try = 0; try < tries; try++)
			slot = step(slot, is_taken(taken, slot) ? skip : 0, size);
		while (is_taken(taken, slot))
			slot = step(slot, skip, size);
		taken->words[slot / 64] |= (uint64_t)1 << slot % 64;
		table[slot] = order[claim];
		wish->slot = step(slot, skip, size);
	}
}

/*
 * While slots are mostly free, a branch on whether one is cannot be foreseen, and a wrong
 * guess costs more than a step or two without any branch. Later, walks get long.
 */
static void claim_by_walking(struct wish *wishes, const uint16_t *order, uint32_t claims,
			     struct taken *taken, int32_t *table)
{
	uint32_t half = claims / 2, quarter = claims / 4, rest = claims - half - quarter;

	walk(wishes, order, half, 1, taken, table);
	walk(wishes, order + half, quarter, 2, taken, table);
	walk(wishes, order + half + quarter, rest, 0, taken, table);
}

/* The number that gives 1 when multiplied with `skip` modulo the prime `size`. */
static uint32_t inverse(uint32_t skip, uint32_t size)
{
	int32_t a = 0, b = 1, rest = size, divisor = skip;

	while (divisor) {
		int32_t quotient = rest / divisor, keep = b;

		b = a - quotient * b;
		a = keep;
		keep = divisor;
		divisor = rest - quotient * divisor;
		rest = keep;
	}
	return a < 0 ? a + (int32_t)size : a;
}

/*
 * Fill in the last slots: few are free, so walks are long, and it is quicker to ask each
 * free slot where it stands in the preference list. That place is (slot - offset) / skip
 * modulo size; as a 64-bit fraction of size, multiplying wraps where the modulo would.
 */
static void claim_by_searching(const struct maglev_permutation *permutations,
			       const uint16_t *order, uint32_t claims,
			       const struct taken *taken, uint32_t *free_slots, int32_t *table)
{
	uint32_t left = 0;

	for (uint32_t slot = 0; slot < taken->size; slot++)
		if (!is_taken(taken, slot))
			free_slots[left++] = slot;
	for (uint32_t claim = 0; claim < claims; claim++) {
		const struct maglev_permutation *wishes = &permutations[order[claim]];
		unsigned __int128 turn = inverse(wishes->skip, taken->size);
		uint64_t scale = (turn << 64) / taken->size;
		uint64_t origin = scale * wishes->offset;
		uint64_t first = UINT64_MAX;
		uint32_t found = 0;

		for (uint32_t at = 0; at < left; at++) {
			uint64_t place = scale * free_slots[at] - origin;

			if (place < first) {
				first = place;
				found = at;
			}
		}
		table[free_slots[found]] = order[claim];
		free_slots[found] = free_slots[--left];
	}
}

/*
 * How many claims to leave for the search. Searching all F free slots costs about F, walking
 * size / F steps, so they meet at the square root.
 */
static uint32_t searched_claims(uint32_t size)
{
	uint32_t claims = 1;

	while ((uint64_t)claims * claims < size)
		claims++;
	return claims;
}

int maglev_build(const struct maglev_permutation *permutations, const uint32_t *turns,
		 const uint16_t *weights, uint32_t backends, uint32_t size, int32_t *table)
{
	uint32_t searched = searched_claims(size), walked = size - searched;
	uint32_t *shares = malloc(backends * sizeof(*shares));
	struct sorted *remainders = malloc(2 * (size_t)backends * sizeof(*remainders));
	uint16_t *order = malloc(size * sizeof(*order));
	struct wish *wishes = malloc(backends * sizeof(*wishes));
	uint32_t *free_slots = malloc(searched * sizeof(*free_slots));
	struct taken taken = {calloc(size / 64 + 1, sizeof(*taken.words)), size};
	bool ready = shares && remainders && order && wishes && free_slots && taken.words;

	if (ready) {
		apportion(turns, weights, backends, size, shares, remainders);
		ready = order_claims(turns, weights, shares, backends, size, order);
	}
	if (ready) {
		for (uint32_t i = 0; i < backends; i++)
			wishes[i] = (struct wish){permutations[i].offset, permutations[i].skip};
		claim_by_walking(wishes, order, walked, &taken, table);
		claim_by_searching(permutations, order + walked, searched, &taken, free_slots,
				   table);
	}
	free(shares);
	free(remainders);
	free(order);
	free(wishes);
	free(free_slots);
	free(taken.words);
	return ready ? 0 : MAGLEV_NO_MEMORY;
}
