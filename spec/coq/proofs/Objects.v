(** Variables, tokens, contexts and the MISSING object: what they are made of, [repr], [hash], [==], and
    what keeps a context alive. *)
From stdpp Require Import base numbers gmap strings list.
From Contextvars Require Import Words Bindings State Text Equality Life Machine.
Local Open Scope N_scope.
Local Open Scope string_scope.
Local Open Scope N_scope.

Section objects.
  Context {M : Type} `{Bindings M}.
  Context (through_cache : bool).
  Implicit Types s : state M.
  Notation operate := (operate through_cache).

  Lemma held_variable_some s v x : held_variable s v = Some x -> variables s !! v = Some x.
  Proof. unfold held_variable. destruct (variables s !! v) as [y|]; [destruct (var_held y)|]; congruence. Qed.

  Lemma held_token_some s id t : held_token s id = Some t -> tokens s !! id = Some t.
  Proof. unfold held_token. destruct (tokens s !! id) as [y|]; [destruct (tok_held y)|]; congruence. Qed.

  (** VAR-1, VAR-5: a new variable has its name, its default, the wanted hash, and an empty cache. *)
  Theorem new_variable_answers th name hash initial v s : variables s !! v = None ->
    operate th (OpContextVar name (Some hash) initial v) s =
      (set_variables (insert v (MkVariable name initial hash None true)) s, Done).
  Proof. intros E. cbn. unfold new_variable. rewrite E. reflexivity. Qed.

  (** VAR-6. *)
  Theorem variable_name th v x s : held_variable s v = Some x ->
    operate th (OpVarName v) s = (s, Text [Literal (var_name x)]).
  Proof. intros E. cbn. rewrite E. reflexivity. Qed.

  (** VAR-8, VAR-9. *)
  Theorem variable_repr th v x s : held_variable s v = Some x ->
    operate th (OpRepr (ObjectVariable v)) s =
      (s, Text ([Literal "<ContextVar name="; Literal (repr_str (var_name x))] ++
                match var_default x with Some d => [Literal " default="; repr_value d] | None => [] end ++
                [Literal " at "; Handle (ObjectVariable v); Literal ">"])).
  Proof.
    intros E. cbn. rewrite E. cbn. unfold repr_variable. rewrite (held_variable_some _ _ _ E).
    destruct (var_default x); reflexivity.
  Qed.

  (** TOKEN-6, TOKEN-7. *)
  Theorem token_repr th id t s : held_token s id = Some t ->
    operate th (OpRepr (ObjectToken id)) s =
      (s, Text ([Literal (if tok_used t then "<Token used var=" else "<Token var=")] ++
                repr_variable s (tok_variable t) ++ [Literal " at "; Handle (ObjectToken id); Literal ">"])).
  Proof. intros E. cbn. rewrite E. cbn. rewrite (held_token_some _ _ _ E). reflexivity. Qed.

  (** CONTEXT-3. *)
  Theorem context_repr th name s : is_bound s (ObjectContext name) = true ->
    operate th (OpRepr (ObjectContext name)) s =
      (s, Text [Literal "<_contextvars.Context object at "; Handle (ObjectContext name); Literal ">"]).
  Proof. intros E. cbn [Machine.operate]. rewrite E. reflexivity. Qed.

  (** MISSING-1. *)
  Theorem missing_repr th s : operate th (OpRepr ObjectMissing) s = (s, Text [Literal "<Token.MISSING>"]).
  Proof. reflexivity. Qed.

  (** VAR-5, TOKEN-8, CONTEXT-4, MISSING-2. *)
  Theorem hash_answers th o s : is_bound s o = true ->
    operate th (OpHash o) s =
      (s, match o with
          | ObjectVariable v => match held_variable s v with Some x => Hash (var_hash x) | None => Skipped end
          | ObjectToken _ | ObjectContext _ => Error (Unspecified TypeError)
          | _ => Done
          end).
  Proof. intros E. cbn. unfold hash_object. rewrite E. reflexivity. Qed.

  Lemma object_eqb_eq x y : object_eqb x y = true <-> x = y.
  Proof.
    destruct x, y; cbn; try (split; [discriminate | congruence]); try tauto; rewrite N.eqb_eq;
      (split; [intros ->; reflexivity | congruence]).
  Qed.

  (** VAR-10, TOKEN-9, MISSING-2, EQ-8: objects that are no values, and not both contexts, are equal if
      and only if they are one and the same. *)
  Theorem identity_is_equality th x y s :
    is_bound s x = true -> is_bound s y = true ->
    (forall v, x <> ObjectValue v) -> (forall v, y <> ObjectValue v) ->
    (forall a b, x = ObjectContext a -> y <> ObjectContext b) ->
    exists r, operate th (OpEqual x y) s = (s, Bool r) /\ (r = true <-> x = y).
  Proof.
    intros Bx By Vx Vy C. exists (object_eqb x y). split; [|apply object_eqb_eq].
    cbn. unfold compare. rewrite Bx, By. cbn.
    assert (equal s x y = inl (object_eqb x y)) as ->; [|reflexivity].
    destruct x, y; try (destruct (Vx _ eq_refl)); try (destruct (Vy _ eq_refl)); try (destruct (C _ _ eq_refl eq_refl));
      reflexivity.
  Qed.

  (** TOKEN-1 to TOKEN-4, TOKEN-14: a token's attributes, and [__enter__], used or not. *)
  Theorem token_reads th id t s : held_token s id = Some t ->
    operate th (OpTokenVar id) s = (s, AnObject (ObjectVariable (tok_variable t))) /\
    operate th (OpTokenOldValue id) s =
      (s, AnObject (match tok_old t with Some old => object_of old | None => ObjectMissing end)) /\
    operate th (OpTokenEnter id) s = (s, AnObject (ObjectToken id)).
  Proof. intros E. cbn. unfold on_token. rewrite E. destruct (tok_old t); auto. Qed.

  (** TOKEN-15: [__exit__] is the reset of the token's variable by it. *)
  Theorem token_exit_resets th id t x s : held_token s id = Some t -> held_variable s (tok_variable t) = Some x ->
    operate th (OpTokenExit id) s = operate th (OpVarReset (tok_variable t) (ObjectToken id)) s.
  Proof. intros E F. cbn. unfold on_token, reset_any. rewrite E, F. reflexivity. Qed.

  (** RESET-1: what is not a token is refused before all else. *)
  Theorem reset_expects_token th v x o s : held_variable s v = Some x -> is_bound s o = true ->
    (forall id, o <> ObjectToken id) -> operate th (OpVarReset v o) s = (s, Error (TokenExpected o)).
  Proof.
    intros E B T. cbn. unfold reset_any, refuse. rewrite E, B.
    destruct o; try reflexivity. destruct (T _ eq_refl).
  Qed.

  (** CACHE-4: a get that finds nothing bound changes nothing, the cache included. *)
  Theorem default_not_cached th v x given s : held_variable s v = Some x ->
    lookup through_cache th v x s = None -> (operate th (OpVarGet v given) s).1 = s.
  Proof. intros E F. cbn. unfold get. rewrite E, F. reflexivity. Qed.

  (** CONTEXT-1: a new context is empty and not entered. *)
  Theorem new_context_empty th name s :
    (operate th (OpContext name) s).2 = Done /\
    names (operate th (OpContext name) s).1 !! name = Some (next_context s) /\
    context_of (operate th (OpContext name) s).1 (next_context s) = MkContext empty_map false (Some name).
  Proof. cbn. unfold context_of. cbn. rewrite !lookup_insert. auto. Qed.

  (** COPY-2, COPY-3: copy_context copies what is current, or else the base context that it makes. *)
  Theorem copy_context_copies th name s :
    operate th (OpCopyContext name) s =
      (copy (current_or_base th s).2 name (current_or_base th s).1, Done) /\
    forall c, current (thread_of s th) = Some c -> current_or_base th s = (s, c).
  Proof.
    split.
    - cbn. unfold copy_current. destruct (current_or_base th s). reflexivity.
    - intros c E. unfold current_or_base. rewrite E. reflexivity.
  Qed.

  (** TOKEN-13: the context of a token that is held is alive, used or not. *)
  Theorem token_keeps_alive id t s : held_token s id = Some t -> is_alive s (tok_context t) = true.
  Proof.
    unfold held_token. destruct (tokens s !! id) as [y|] eqn:E; [|discriminate].
    destruct (tok_held y) eqn:F; [|discriminate]. intros [= <-].
    unfold is_alive, is_root. rewrite (proj2 (existsb_exists _ (map_to_list (tokens s)))).
    - rewrite orb_true_r. reflexivity.
    - exists (id, y). split; [apply elem_of_list_In, elem_of_map_to_list, E|]. cbn. rewrite F, N.eqb_refl. reflexivity.
  Qed.

  Lemma member_in c l : c ∈ l -> member c l = true.
  Proof.
    induction 1 as [c l | c d l _ IH]; cbn; [rewrite N.eqb_refl; reflexivity | rewrite IH; apply orb_true_r].
  Qed.

  (** CONTEXT-5: a weak reference answers its context while the trace names it. *)
  Theorem named_dereferences th id name other c s : references s !! id = Some (name, c) -> names s !! other = Some c ->
    operate th (OpDereference id) s = (s, AnObject (ObjectContext name)).
  Proof.
    intros E F. cbn. unfold dereference. rewrite E.
    assert (is_alive s c = true) as ->; [|reflexivity].
    unfold is_alive, is_root. rewrite (member_in c); [reflexivity|].
    apply elem_of_list_fmap. exists (other, c). split; [reflexivity | apply elem_of_map_to_list, F].
  Qed.
End objects.
