/*
 * A table that becomes a list of cards on a narrow screen. `columns` are
 * {head, cell(row), number?: right-aligned, main?: the row's name, its header for a screen reader}.
 * `kind`: a class for its widths. With `href(row)` the main cell is a link that j and k go to (keys.js).
 */
export function Table({ caption, columns, rows, row_key, href, row_class, kind = "" }) {
	return (
		<div class="table-frame">
			<table role="table" class={kind}>
				<caption class="hidden">{caption}</caption>
				<thead role="rowgroup">
					<tr role="row">
						{columns.map((c) => (
							<th key={c.head} role="columnheader" scope="col" class={c.number ? "number" : ""}>
								{c.head}
							</th>
						))}
					</tr>
				</thead>
				<tbody role="rowgroup">
					{rows.map((row, i) => (
						<tr key={row_key ? row_key(row) : i} role="row" class={row_class?.(row) ?? ""}>
							{columns.map((c) => cell(c, row, href))}
						</tr>
					))}
				</tbody>
			</table>
		</div>
	);
}

function cell(column, row, href) {
	const kind = [column.number && "number", column.main && "main-cell"].filter(Boolean).join(" ");
	const content = column.cell(row);
	if (column.main)
		return (
			<th key={column.head} role="rowheader" scope="row" class={kind} data-label={column.head}>
				{href ? (
					<a href={href(row)} data-item>
						{content}
					</a>
				) : (
					content
				)}
			</th>
		);
	return (
		<td key={column.head} role="cell" class={kind} data-label={column.head}>
			{content}
		</td>
	);
}

/* Under a list of use_list(): how many there are, and the next page. */
export function More({ list, what = "rows" }) {
	if (list.items.length === 0) return null;
	return (
		<p class="more">
			<span class="faint">
				{list.items.length} {list.items.length === 1 ? what.replace(/s$/, "") : what} shown
				{list.next === null || list.next === undefined ? "" : "; there are more"}
			</span>
			{list.next !== null && list.next !== undefined && list.items.length < 5000 && (
				<button type="button" onClick={list.more} disabled={list.busy}>
					{list.busy ? "Loading…" : "Show more"}
				</button>
			)}
		</p>
	);
}
