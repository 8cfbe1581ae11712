// Responses by the `openai` npm client: `node openai_responses.mjs BASE_URL`. Prints what it saw as JSON.
import OpenAI from "openai";
import { zodResponsesFunction, zodTextFormat } from "openai/helpers/zod";
import { z } from "zod";

const client = new OpenAI({ baseURL: process.argv[2], apiKey: "none", maxRetries: 0 });
const Verdict = z.object({ order_id: z.string(), verdict: z.enum(["late", "lost"]) });
const findOrder = zodResponsesFunction({ name: "find_order", parameters: z.object({ order_id: z.string() }) });
const question = { role: "user", content: "Where is order A-1007?" };
const ask = {
  model: "support-reply",
  max_output_tokens: 300,
  input: "Where is order A-1007?",
  trimtab: { variables: { shop: "Acme" } },
};
const { responses } = client;

// The call, and the answer to its result: everything that was said is sent again.
async function byHand(respond) {
  const body = { ...ask, tools: [findOrder] };
  const called = await respond({ ...body, input: [question] });
  const [call] = called.output.filter((item) => item.type === "function_call");
  const result = { type: "function_call_output", call_id: call.call_id, output: JSON.stringify({ carrier: "Blue Ox" }) };
  const answered = await respond({ ...body, input: [question, ...called.output, result] });
  const more = { role: "user", content: "And where is order B-2002?" };
  const history = [question, ...called.output, result, ...answered.output, more];
  return {
    call: [call.name, JSON.parse(call.arguments)],
    text: answered.output_text,
    tokens: [called.usage.output_tokens, answered.usage.output_tokens],
    turns: (await respond({ ...ask, input: history })).output_text,
  };
}

async function streamed(body) {
  let text;
  for await (const event of await responses.create({ ...body, stream: true })) {
    if (event.type === "response.output_text.done") text = event.text;
    if (event.type === "response.completed") return { ...event.response, output_text: text };
  }
}

async function refused(promise) {
  try {
    await promise;
  } catch ({ constructor, status, type, code, param, message, headers }) {
    return { class: constructor.name, status, type, code, param, message, release: headers.get("x-trimtab-release") };
  }
}

const seen = {};
const { data, response } = await responses.create(ask).withResponse();
seen.text = data.output_text;
seen.status = data.status;
seen.tokens = [data.usage.input_tokens, data.usage.output_tokens];
seen.release = response.headers.get("x-trimtab-release");
seen.generation = response.headers.get("x-trimtab-generation");

const opened = await responses.create({ ...ask, stream: true }).withResponse();
seen.streamedRelease = opened.response.headers.get("x-trimtab-release");
seen.streamed = "";
seen.kinds = [];
for await (const event of opened.data) {
  if (event.type === "response.output_text.delta") seen.streamed += event.delta;
  if (event.type === "response.completed") seen.streamedTokens = event.response.usage.output_tokens;
  if (seen.kinds.at(-1) !== event.type) seen.kinds.push(event.type);
}

seen.tools = await byHand((body) => responses.create(body));
seen.streamedTools = await byHand(streamed);
const assembled = await responses.stream({ ...ask, tools: [findOrder] }).finalResponse();
seen.assembled = assembled.output.map((item) => item.parsed_arguments);
seen.parsed = (await responses.parse({ ...ask, text: { format: zodTextFormat(Verdict, "verdict") } })).output_parsed;

seen.pinned = await refused(responses.create({ ...ask, temperature: 1 }));
seen.streamedPinned = await refused(responses.create({ ...ask, temperature: 1, stream: true }));
seen.unknown = await refused(responses.create({ ...ask, model: "support-replay" }));

console.log(JSON.stringify(seen));
