// What users of @gradio/client write, against the console: node gradio_predict.mjs URL FILE
import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { pathToFileURL } from 'node:url';

const [url, path] = process.argv.slice(2);
const modules = createRequire(`${process.env.EMOFLEET_TEST_CLIENTS}/js/`);
const { Client } = await import(pathToFileURL(modules.resolve('@gradio/client')));
const client = await Client.connect(url);
const api = await client.view_api();
const names = api.named_endpoints['/predict'].parameters.map((parameter) => parameter.parameter_name);
if (names.join() !== 'audio,granularity,extract_embedding') throw new Error(names.join());
const audio = new Blob([await readFile(path)], { type: 'audio/wav' });
const byPosition = await client.predict('/predict', [audio, 'utterance', true]);
const byName = await client.predict('/predict', { audio, granularity: 'utterance', extract_embedding: false });
if (byName.data[0].links.npy) throw new Error('an embedding was stored');
console.log(JSON.stringify({ emotion: byPosition.data[0].emotion, scores: byPosition.data[0].scores }));
process.exit(0);
