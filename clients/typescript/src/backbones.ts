import type { CallOptions, Transport } from "./http/transport.js";
import type { Backbone, BackboneList } from "./replies.js";

/** The API's backbones: lists, opens and closes bundles that the server can run, and sets the default. */
export class Backbones {
  readonly #http: Transport;

  constructor(http: Transport) {
    this.#http = http;
  }

  /** All backbones in the server's folders of bundles, open or not. */
  async list(options?: CallOptions): Promise<Backbone[]> {
    return (await this.#http.send<BackboneList>((api, each) => api.GET("/v1/backbones", each), options)).backbones;
  }

  /** Has the server open a bundle, `name@version`, if it is not open already. */
  open(backbone: string, options?: CallOptions): Promise<Backbone> {
    return this.#http.send((api, each) => api.POST("/v1/backbones", { body: { id: backbone }, ...each }), options);
  }

  /** Gives new tasks this backbone, which must be open. Tasks that exist stay on theirs. */
  makeDefault(backbone: string, options?: CallOptions): Promise<Backbone> {
    const request = { params: { path: { backbone } }, body: { default: true } } as const;
    return this.#http.send((api, each) => api.PATCH("/v1/backbones/{backbone}", { ...request, ...each }), options);
  }

  /** Has the server close a backbone that no task uses; its bundle's folder stays. */
  async close(backbone: string, options?: CallOptions): Promise<void> {
    const request = { params: { path: { backbone } } };
    await this.#http.delete((api, each) => api.DELETE("/v1/backbones/{backbone}", { ...request, ...each }), options);
  }
}
