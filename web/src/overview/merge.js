/*
 * A batch of a live event, put into the page of GET /v1/batches that is shown. Null where the list has
 * to be read again: the batch is new there, or holds nothing any more. Pure.
 */
export function merge_batch(page, batch) {
	if (!page || !batch) return null;
	const at = page.items.findIndex((b) => b.id === batch.id);
	if (at < 0 || batch.state !== page.items[at].state) return null;
	const items = [...page.items];
	items[at] = { ...items[at], ...batch };
	return { ...page, items };
}
