/*
 * Bundles src/ into dist/: the files that a browser asks for, under names with a hash of their
 * content so that they may be kept for ever, and assets.c, the same as C arrays (control/assets.h).
 * The worker that reads mail is a file of its own; its name is given to the application as
 * MAIL_WORKER. Run by web/build, and by dev/server.mjs through bundle().
 */
import { createHash } from "node:crypto";
import { existsSync } from "node:fs";
import { mkdir, readFile, readdir, rm, writeFile } from "node:fs/promises";
import path from "node:path";
import { fileURLToPath } from "node:url";
import * as esbuild from "esbuild";

const here = path.dirname(fileURLToPath(import.meta.url));
const dist = path.join(here, "dist");

const types = {
	".html": "text/html; charset=utf-8",
	".js": "text/javascript; charset=utf-8",
	".css": "text/css; charset=utf-8",
	".svg": "image/svg+xml",
	".txt": "text/plain; charset=utf-8",
};

function options(entry, define) {
	return {
		entryPoints: [path.join(here, entry)],
		absWorkingDir: here,
		outdir: dist,
		entryNames: "[name]-[hash]",
		bundle: true,
		write: false,
		minify: true,
		format: "esm",
		target: ["es2022", "chrome110", "firefox110", "safari16"],
		jsx: "automatic",
		jsxImportSource: "preact",
		legalComments: "none",
		charset: "utf8",
		define,
		logLevel: "warning",
	};
}

function file(name, data) {
	return { path: `/${name}`, type: types[path.extname(name)], data: Buffer.from(data) };
}

/* The texts that the licences of what is bundled ask to be passed on. */
async function licences(manifest) {
	const texts = [];
	for (const [name, version] of Object.entries(manifest.dependencies)) {
		const folder = path.join(here, "node_modules", name);
		const found = (await readdir(folder)).find((f) => /^licen[cs]e/i.test(f));
		const text = found ? await readFile(path.join(folder, found), "utf8") : "no licence file\n";
		texts.push(`${name} ${version}\n\n${text.trim()}\n`);
	}
	return texts.join("\n----\n\n");
}

/* What a browser may ask for, index.html first: [{path, type, data, immutable}]. */
export async function bundle() {
	const files = [];
	const manifest = JSON.parse(await readFile(path.join(here, "package.json"), "utf8"));
	let worker = "";
	if (existsSync(path.join(here, "src/mail_worker.js"))) {
		const built = await esbuild.build(options("src/mail_worker.js", {}));
		files.push(...built.outputFiles.map((f) => file(path.basename(f.path), f.contents)));
		worker = files[0].path;
	}
	const app = await esbuild.build(options("src/app.js", { MAIL_WORKER: JSON.stringify(worker) }));
	files.push(...app.outputFiles.map((f) => file(path.basename(f.path), f.contents)));
	const icon = await readFile(path.join(here, "src/icon.svg"));
	const hash = createHash("sha256").update(icon).digest("hex").slice(0, 8);
	files.push(file(`icon-${hash}.svg`, icon));
	for (const f of files) f.immutable = true;
	files.push({ ...file("licences.txt", await licences(manifest)), immutable: false });

	const page = (await readFile(path.join(here, "src/index.html"), "utf8")).replace(
		/\{(app\.js|app\.css|icon\.svg)\}/g,
		(_, name) => {
			const [stem, end] = name.split(".");
			return files.find((f) => f.path.startsWith(`/${stem}-`) && f.path.endsWith(`.${end}`)).path;
		},
	);
	return [{ ...file("index.html", page), immutable: false }, ...files];
}

function bytes(data) {
	const lines = [];
	for (let i = 0; i < data.length; i += 24) lines.push(`\t${[...data.subarray(i, i + 24)].join(",")},`);
	return lines.join("\n");
}

function source(files) {
	const row = (f, i) => {
		const etag = createHash("sha256").update(f.data).digest("hex").slice(0, 32);
		return `\t{"${f.path}", "${f.type}", file${i}, sizeof(file${i}), "\\"${etag}\\"", ${f.immutable}},`;
	};
	return `/* Made by web/build out of web/src; do not edit. */
#include "control/assets.h"

${files.map((f, i) => `static const unsigned char file${i}[] = {\n${bytes(f.data)}\n};`).join("\n")}

const struct asset console_assets[] = {
${files.map(row).join("\n")}
};
const size_t console_asset_count = sizeof(console_assets) / sizeof(console_assets[0]);
`;
}

/* An unchanged file keeps its time, so that make does not compile it again. */
async function write_changed(name, data) {
	const target = path.join(dist, name);
	const old = await readFile(target).catch(() => null);
	if (old === null || !old.equals(Buffer.from(data))) await writeFile(target, data);
}

async function main() {
	const files = await bundle();
	await mkdir(dist, { recursive: true });
	const names = new Set(files.map((f) => f.path.slice(1)));
	for (const name of await readdir(dist))
		if (/^(app|mail_worker|icon)-/.test(name) && !names.has(name)) await rm(path.join(dist, name));
	for (const f of files) await write_changed(f.path.slice(1), f.data);
	await write_changed("assets.c", source(files));
	const total = files.reduce((sum, f) => sum + f.data.length, 0);
	console.log(`web/dist: ${files.length} files, ${Math.ceil(total / 1024)} KiB`);
}

if (process.argv[1] === fileURLToPath(import.meta.url)) await main();
