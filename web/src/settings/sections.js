/* The rows of GET /v1/settings by their section, for the page. Pure. */

function name_of(row) {
	if (row.section === "") return "General";
	const own = row.title ? `${row.section} "${row.title}"` : row.section;
	return row.within ? `${row.within}: ${own}` : own;
}

function is_changed(row) {
	return row.value !== row.default && !(row.value === null && row.default === "");
}

/*
 * [{key, name, rows}] in the order of the file. `word`: only rows that have it in their section, name,
 * value or help; `changed`: only those that are not their default.
 */
export function sections(items, { word = "", changed = false } = {}) {
	const wanted = word.trim().toLowerCase();
	const result = [];
	for (const row of items) {
		const name = name_of(row);
		const key = `${row.within ?? ""}\n${row.section}\n${row.title ?? ""}`;
		const other = is_changed(row);
		if (changed && !other) continue;
		if (wanted && ![name, row.name, row.value, row.help].some((t) => String(t ?? "").toLowerCase().includes(wanted))) continue;
		let section = result.find((s) => s.key === key);
		if (!section) result.push((section = { key, name, rows: [] }));
		section.rows.push({ ...row, changed: other });
	}
	return result;
}
