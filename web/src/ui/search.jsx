/* The field that `/` goes to (keys.js), within a form of filters. */
export function Search({ label = "Address or subject", value, onChange, hint }) {
	return (
		<label class="grow">
			{label}
			<input
				type="search"
				data-search
				maxLength={200}
				placeholder={hint}
				value={value}
				onInput={(e) => onChange(e.currentTarget.value)}
			/>
		</label>
	);
}
