/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who stands in for backends that are down: weighted rendezvous hashing.
 *
 * For each slot every survivor has a clock that rings after an exponentially distributed
 * time of rate `weight`; the first one gets the slot. The times come from slot and survivor
 * alone, so nobody's clock depends on who else is up.
 */

struct survivor {
	uint32_t weight;
	uint32_t zone;
	uint32_t turn;
	int32_t backend;
};

/* What a slot asks each survivor; together and nothing else, so that 2,000 fit in L1. */
struct clock {
	uint64_t key;
	uint64_t early; /* if the hash has greater upper 31 bits, later than the pool's early */
};

struct pool {
	struct survivor *survivors;
	struct clock *clocks;
	uint32_t count;
	double early;
};

struct winner {
	double rings;
	uint32_t turn;
	int32_t backend;
};

static const struct winner NO_WINNER = {.rings = INFINITY, .backend = MAGLEV_NOBODY};

#define NO_ZONE UINT32_MAX
/*
 * A pool's `early`, in units of the mean time of its first clock. In exp(-5), 0.7 % of all
 * slots, nobody rings before it, and everybody is asked.
 */
#define EARLY 5.0
#define LOWER_33 (((uint64_t)1 << 33) - 1)

/*
 * -ln(1 - x) to 10 digits, for x of a hash's upper 52 bits. Only operations that IEEE 754
 * rounds exactly: a libm's log differs between versions, and then two nodes would.
 */
static double minus_log(uint64_t hash)
{
	double rest = 1 - ((double)(hash >> 12) + 0.5) * 0x1p-52, halvings = 0;

	for (; rest < 0.7; rest += rest)
		halvings++;
	/* ln(rest) = -2 artanh(s): the first terms of its series */
	double s = (1 - rest) / (1 + rest), q = s * s;
	double series = 1 + q * (1.0 / 3 + q * (1.0 / 5 + q * (1.0 / 7 +
			q * (1.0 / 9 + q * (1.0 / 11 + q * (1.0 / 13))))));

	return 2 * s * series + halvings * 0.6931471805599453;
}

static void compete(struct winner *winner, const struct survivor *survivor, uint64_t hash)
{
	double rings = minus_log(hash) / survivor->weight;

	if (rings < winner->rings ||
	    (rings == winner->rings && survivor->turn < winner->turn))
		*winner = (struct winner){rings, survivor->turn, survivor->backend};
}

/* Let all of a pool compete but those of one zone. */
static inline __attribute__((always_inline)) void
compete_all(struct winner *winner, const struct pool *pool, uint64_t spread, uint32_t avoided,
	    const bool only_early)
{
	for (uint32_t i = 0; i < pool->count; i++) {
		uint64_t word = pool->clocks[i].key ^ spread;

		if (only_early && stir(word) > pool->clocks[i].early)
			continue;
		if (avoided == NO_ZONE || pool->survivors[i].zone != avoided)
			compete(winner, &pool->survivors[i], mix(word));
	}
}

/* The same, without the logarithms of those who are too late to win. */
static void race(struct winner *winner, const struct pool *pool, uint64_t spread,
		 uint32_t avoided)
{
	compete_all(winner, pool, spread, avoided, true);
	if (winner->rings > pool->early)
		compete_all(winner, pool, spread, avoided, false);
}

static int32_t choose(const struct pool *up, uint64_t spread, uint32_t avoided)
{
	struct winner winner = NO_WINNER;

	race(&winner, up, spread, avoided);
	if (winner.backend == MAGLEV_NOBODY && avoided != NO_ZONE)
		race(&winner, up, spread, NO_ZONE);
	return winner.backend;
}

/* Who gets the slot, if `holder`, a place in `up`, has won but against those in `back`. */
static int32_t defend(const struct pool *up, uint32_t holder, const struct pool *back,
		      uint64_t spread, uint32_t avoided)
{
	struct winner winner = NO_WINNER;

	compete(&winner, &up->survivors[holder], mix(up->clocks[holder].key ^ spread));
	race(&winner, back, spread, avoided);
	return winner.backend;
}

/* Who gets a slot whose owner is down and which `holder` had before. */
static int32_t stand_in(const struct pool *up, const struct pool *back,
			const uint32_t *places, const uint32_t *zones, const uint8_t *states,
			uint32_t slot, int32_t owner, int32_t holder)
{
	uint32_t avoided = zones ? zones[owner] : NO_ZONE;
	uint64_t spread = mix((uint64_t)slot + 1);

	if (holder == MAGLEV_NOBODY || states[holder] == MAGLEV_DOWN)
		return choose(up, spread, avoided);
	if (avoided == NO_ZONE || zones[holder] != avoided)
		return defend(up, places[holder], back, spread, avoided);

	/* Nobody of another zone was up, so it has to give way to anybody from there. */
	struct winner winner = NO_WINNER;

	race(&winner, back, spread, avoided);
	if (winner.backend != MAGLEV_NOBODY)
		return winner.backend;
	return defend(up, places[holder], back, spread, NO_ZONE);
}

static struct pool make_pool(uint32_t backends)
{
	return (struct pool){
		.survivors = malloc(backends * sizeof(struct survivor)),
		.clocks = malloc(backends * sizeof(struct clock)),
	};
}

static void free_pool(struct pool *pool)
{
	free(pool->survivors);
	free(pool->clocks);
}

/* Everybody who is up, in the order of their turns. `places` are those in the pool. */
static void fill_up(struct pool *up, const struct maglev_permutation *permutations,
		    const uint32_t *turns, const uint16_t *weights, const uint32_t *zones,
		    const uint8_t *states, uint32_t backends, uint32_t *places)
{
	uint64_t total = 0;

	for (uint32_t turn = 0; turn < backends; turn++) {
		uint32_t i = turns[turn];

		if (!weights[i] || states[i] == MAGLEV_DOWN)
			continue;
		places[i] = up->count;
		up->clocks[up->count].key = permutations[i].key;
		up->survivors[up->count++] = (struct survivor){
			.weight = weights[i],
			.zone = zones ? zones[i] : NO_ZONE,
			.turn = turn,
			.backend = i,
		};
		total += weights[i];
	}
	/* Since -ln(1 - x) > x, x > early * weight rings later; 1.001 is for rounding. */
	up->early = EARLY / total;
	for (uint32_t i = 0; i < up->count; i++) {
		double x = up->early * 1.001 * up->survivors[i].weight;

		up->clocks[i].early = x < 1 ? (uint64_t)(x * 0x1p64) | LOWER_33 : UINT64_MAX;
	}
}

static void fill_back(struct pool *back, const struct pool *up, const uint8_t *states)
{
	back->early = up->early;
	for (uint32_t i = 0; i < up->count; i++) {
		if (states[up->survivors[i].backend] != MAGLEV_BACK)
			continue;
		back->survivors[back->count] = up->survivors[i];
		back->clocks[back->count++] = up->clocks[i];
	}
}

#define BLOCK 16

/* In a block of slots; few have such an owner, and this finds out with a single branch. */
static bool any_down(const int32_t *owners, uint32_t count, const uint8_t *states)
{
	uint8_t all = 0;

	for (uint32_t i = 0; i < count; i++)
		all |= states[owners[i]];
	return all & MAGLEV_DOWN;
}

int maglev_overlay(const struct maglev_permutation *permutations, const uint32_t *turns,
		   const uint16_t *weights, const uint32_t *zones, const uint8_t *states,
		   uint32_t backends, const int32_t *base, const int32_t *before, uint32_t size,
		   int32_t *table)
{
	struct pool up = make_pool(backends), back = make_pool(backends);
	uint32_t *places = malloc(backends * sizeof(*places));
	bool ready = up.survivors && up.clocks && back.survivors && back.clocks && places;

	if (ready) {
		fill_up(&up, permutations, turns, weights, zones, states, backends, places);
		fill_back(&back, &up, states);
		memcpy(table, base, size * sizeof(*table));
	}
	for (uint32_t slot = 0, end; ready && slot < size; slot = end) {
		end = slot + BLOCK < size ? slot + BLOCK : size;
		if (!any_down(base + slot, end - slot, states))
			continue;
		for (; slot < end; slot++)
			if (states[base[slot]] == MAGLEV_DOWN)
				table[slot] = stand_in(&up, &back, places, zones, states, slot,
						       base[slot], before[slot]);
	}
	free_pool(&up);
	free_pool(&back);
	free(places);
	return ready ? 0 : MAGLEV_NO_MEMORY;
}
