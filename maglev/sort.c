/* SPDX-License-Identifier: Apache-2.0 */
/* Sorting in linear time: comparisons would take half as long as the table itself. */

#define DIGITS 4
#define DIGIT_VALUES 256

struct sorted {
	uint32_t key;
	uint32_t backend;
};

static uint32_t digit_of(uint32_t key, int digit)
{
	return key >> (8 * digit) & (DIGIT_VALUES - 1);
}

/*
 * Order by key, digit by digit; equal keys stay in their order. Returns the sorted entries:
 * they are in `entries` or in `spare`, which has room for as many.
 */
static struct sorted *sort(struct sorted *entries, struct sorted *spare, uint32_t count)
{
	uint32_t places[DIGITS][DIGIT_VALUES] = {0};

	for (uint32_t i = 0; i < count; i++)
		for (int digit = 0; digit < DIGITS; digit++)
			places[digit][digit_of(entries[i].key, digit)]++;
	for (int digit = 0; digit < DIGITS; digit++) {
		if (places[digit][digit_of(entries[0].key, digit)] == count)
			continue; /* it is the same in all keys */
		uint32_t start = 0;
		for (int value = 0; value < DIGIT_VALUES; value++) {
			uint32_t next = start + places[digit][value];
			places[digit][value] = start;
			start = next;
		}
		for (uint32_t i = 0; i < count; i++)
			spare[places[digit][digit_of(entries[i].key, digit)]++] = entries[i];
		struct sorted *sorted = spare;
		spare = entries;
		entries = sorted;
	}
	return entries;
}
