/** The JupyterLab extension: quiet status for voice messages, and live widgets beside their saved text. */

import type { JupyterFrontEnd, JupyterFrontEndPlugin } from "@jupyterlab/application";
import { PageConfig, URLExt } from "@jupyterlab/coreutils";
import { INotebookTracker } from "@jupyterlab/notebook";
import { IRenderMimeRegistry } from "@jupyterlab/rendermime";
import { ServerConnection } from "@jupyterlab/services";
import type { LabFlag } from "../host";
import { VERSION } from "../wire";
import { registerView } from "./view";

const plugin: JupyterFrontEndPlugin<void> = {
  id: "backchannel:plugin",
  description: "Keeps a voice unhurt by a busy notebook and shows live widgets beside their saved text.",
  autoStart: true,
  requires: [INotebookTracker, IRenderMimeRegistry],
  activate: (app: JupyterFrontEnd, notebooks: INotebookTracker, stock: IRenderMimeRegistry) => {
    leaveUntracked("comm_msg");
    const flag: LabFlag = {
      version: VERSION,
      worklets: URLExt.join(PageConfig.getOption("fullLabextensionsUrl"), "backchannel/static/worklets.js"),
      server: null,
    };
    window.__backchannel_lab = flag;
    void serverIsActive(app.serviceManager.serverSettings).then((active) => {
      flag.server = active;
    });
    notebooks.widgetAdded.connect((_, panel) => registerView(panel.content.rendermime, stock));
  },
};

/** Each tracked message makes the page show busy and idle; at fifty a second that is most of its work. */
function leaveUntracked(type: string): void {
  let types: unknown = [];
  try {
    types = JSON.parse(PageConfig.getOption("untracked_message_types") || "[]");
  } catch {
    console.warn("Backchannel: the page's untracked_message_types was not JSON and is replaced.");
  }
  const known = Array.isArray(types) ? types : [];
  if (!known.includes(type)) PageConfig.setOption("untracked_message_types", JSON.stringify([...known, type]));
}

/** Whether our server extension answers; it is what takes the delay out of the voice's websocket. */
async function serverIsActive(settings: ServerConnection.ISettings): Promise<boolean> {
  const url = URLExt.join(settings.baseUrl, "backchannel/status");
  const response = await ServerConnection.makeRequest(url, {}, settings).catch(() => null);
  const status: unknown = response?.ok ? await response.json().catch(() => null) : null;
  return typeof status === "object" && status !== null && "nodelay" in status && status.nodelay === true;
}

export default plugin;
